"""The relay's certificate: made anew by each process, known to nodes by its fingerprint, and on no disk."""

from __future__ import annotations

import hashlib
import os
import ssl
from datetime import UTC, datetime

PREFIX = "sha256:"
_NAME = "daybreak relay"
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Nobody looks at the dates of what is known by its fingerprint: it is worth what its process is."""


def fingerprint(certificate: bytes) -> str:
    """Of a certificate in its binary form."""
    return PREFIX + hashlib.sha256(certificate).hexdigest()


def make() -> tuple[ssl.SSLContext, str]:
    """A server's context, and the fingerprint of its certificate. Raises OSError where the system has no files in
    memory."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), _FIRST, _LAST)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # every connection proves itself anew
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _load(context, secret + made.public_bytes(serialization.Encoding.PEM))
    return context, fingerprint(made.public_bytes(serialization.Encoding.DER))


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Python reads keys from files only: this one is in memory, and gone when it is closed."""
    memory = os.memfd_create("relay", os.MFD_CLOEXEC)
    with os.fdopen(memory, "wb", buffering=0) as file:
        file.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{memory}")
