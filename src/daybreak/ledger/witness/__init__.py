"""Places outside the database that remember its signed heads.

headfile     the last head in a file of another folder: what every ledger has, and what it is compared with
cosigning    C2SP cosignatures: keys, signing, reading
wire         the request of C2SP tlog-witness
register     what a witness of ours remembers, and what it signs
server       that over HTTP
remote       asks a witness over HTTP
repository   heads as commits of a git repository
timestamps   heads in RFC 3161 time stamps (`tsp`: their encoding and proof)
kept         what witnesses have said, kept beside the head file
"""

from daybreak.ledger.witness.headfile import FILE, LOCK, Keeper, Witness

__all__ = ["FILE", "LOCK", "Keeper", "Witness"]
