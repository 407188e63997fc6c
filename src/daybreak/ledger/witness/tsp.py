"""RFC 3161 time stamps: making the request, and proving that an answer is what it claims.

An answer is believed where it is of this digest and nonce, signed by a certificate that is for time stamping alone and
leads to one that the user trusts, and names that certificate in what it signed (RFC 5035). What is not looked at is
whether a certificate was revoked since: whoever must know that checks the kept answer with another program. Only DER is
read, which is what the standard asks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

REQUEST_TYPE = "application/timestamp-query"
ANSWER_TYPE = "application/timestamp-reply"
_SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
_HASHES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "2.16.840.1.101.3.4.2.1": ("sha256", hashes.SHA256()),
    "2.16.840.1.101.3.4.2.2": ("sha384", hashes.SHA384()),
    "2.16.840.1.101.3.4.2.3": ("sha512", hashes.SHA512()),
}
_SIGNATURES = {
    "1.2.840.113549.1.1.1": "",  # the digest's own hash
    "1.2.840.113549.1.1.11": "2.16.840.1.101.3.4.2.1",
    "1.2.840.113549.1.1.12": "2.16.840.1.101.3.4.2.2",
    "1.2.840.113549.1.1.13": "2.16.840.1.101.3.4.2.3",
    "1.2.840.10045.4.3.2": "2.16.840.1.101.3.4.2.1",
    "1.2.840.10045.4.3.3": "2.16.840.1.101.3.4.2.2",
    "1.2.840.10045.4.3.4": "2.16.840.1.101.3.4.2.3",
}
_STATUS = {2: "rejection", 3: "waiting", 4: "revocation warning", 5: "revocation notification"}
GRANTED = (0, 1)
CHAIN_MAX = 5


class StampWrong(ValueError):
    """The answer is no time stamp of what was asked, or nobody who is trusted stands behind it."""


class StampDenied(ValueError):
    """The server did not stamp it, and perhaps says why."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """This digest existed at that moment, says the signer."""

    at: datetime
    serial: int
    signer: str
    """The subject of the certificate."""


# -- the structures of the standards; fields that are not looked at are taken as they come


@asn1.sequence
class _Hash:
    algorithm: x509.ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _Imprint:
    algorithm: _Hash
    digest: bytes


@asn1.sequence
class _Request:
    version: int
    imprint: _Imprint
    nonce: int
    certificates: bool


@asn1.sequence
class _ContentInfo:
    type: x509.ObjectIdentifier
    content: Annotated[asn1.TLV, asn1.Explicit(0)]


@asn1.sequence
class _Content:
    type: x509.ObjectIdentifier
    data: Annotated[bytes, asn1.Explicit(0)]


@asn1.sequence
class _SignedData:
    version: int
    digests: asn1.TLV
    content: _Content
    certificates: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    revoked: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]
    signers: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _Signer:
    version: int
    id: asn1.TLV
    digest: list[asn1.TLV]
    attributes: asn1.TLV
    algorithm: list[asn1.TLV]
    signature: bytes
    unsigned: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]


@asn1.sequence
class _IssuerAndSerial:
    issuer: asn1.TLV
    serial: int


@asn1.sequence
class _Attribute:
    type: x509.ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _Accuracy:
    seconds: int | None
    millis: Annotated[int | None, asn1.Implicit(0)]
    micros: Annotated[int | None, asn1.Implicit(1)]


@asn1.sequence
class _TstInfo:
    version: int
    policy: x509.ObjectIdentifier
    imprint: _Imprint
    serial: int
    at: asn1.GeneralizedTime
    accuracy: _Accuracy | None
    ordering: Annotated[bool, asn1.Default(False)]
    nonce: int | None
    authority: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    extensions: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]


@asn1.sequence
class _Few:
    """Any sequence, as its elements."""

    only: list[asn1.TLV]


def request(digest: bytes, nonce: int) -> bytes:
    """For a SHA-256 digest; asks for the signer's certificate."""
    imprint = _Imprint(algorithm=_Hash(algorithm=_SHA256, parameters=asn1.Null()), digest=digest)
    return asn1.encode_der(_Request(version=1, imprint=imprint, nonce=nonce, certificates=True))


def check(answer: bytes, digest: bytes, trusted: Sequence[x509.Certificate], nonce: int | None = None) -> Stamp:
    """The stamp in an answer. Raises StampDenied, StampWrong. `nonce`: that of the request, where it is known."""
    try:
        return _check(answer, digest, trusted, nonce)
    except (StampWrong, StampDenied):
        raise
    except (ValueError, TypeError, IndexError) as error:
        raise StampWrong(f"it cannot be read: {error}") from error


def _check(answer: bytes, digest: bytes, trusted: Sequence[x509.Certificate], nonce: int | None) -> Stamp:
    parts = _elements(answer)
    status = _elements(_der(parts[0]))
    number = status[0].parse(int)
    if number not in GRANTED:
        raise StampDenied(f"{_STATUS.get(number, f'status {number}')}{_words(status[1:])}")
    outer = parts[1].parse(_ContentInfo)
    if outer.type.dotted_string != _SIGNED_DATA:
        raise StampWrong("what came is not signed")
    signed = outer.content.parse(_SignedData)
    if signed.content.type.dotted_string != _TST_INFO:
        raise StampWrong("what is signed is no time stamp")
    info = asn1.decode_der(_TstInfo, signed.content.data)
    if info.version != 1 or info.imprint.algorithm.algorithm != _SHA256 or info.imprint.digest != digest:
        raise StampWrong("it is of something else")
    if nonce is not None and info.nonce != nonce:
        raise StampWrong("it answers another request")
    signers = signed.signers.as_list()
    if len(signers) != 1:
        raise StampWrong(f"it has {len(signers)} signers, not one")
    at = info.at.as_datetime()
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    sent = [x509.load_der_x509_certificate(_der(one)) for one in signed.certificates or () if one.tag_bytes == b"\x30"]
    certificate = _signed(signers[0].parse(_Signer), signed.content.data, [*sent, *trusted])
    _trust(certificate, sent, trusted, at)
    return Stamp(at, info.serial, certificate.subject.rfc4514_string())


def _signed(signer: _Signer, content: bytes, known: Sequence[x509.Certificate]) -> x509.Certificate:
    """The certificate of who signed, whose signature is good."""
    certificate = _certificate(signer.id, known)
    if signer.attributes.tag_bytes != b"\xa0":
        raise StampWrong("it signs no attributes")
    raw = _wrapped(0x31, bytes(signer.attributes.data))
    attributes = {
        one.type.dotted_string: one.values.as_list()
        for one in (each.parse(_Attribute) for each in _elements(_wrapped(0x30, bytes(signer.attributes.data))))
    }
    oid = signer.digest[0].parse(x509.ObjectIdentifier).dotted_string
    if oid not in _HASHES:
        raise StampWrong(f"its digest {oid} is not one that is believed")
    if attributes[_CONTENT_TYPE][0].parse(x509.ObjectIdentifier).dotted_string != _TST_INFO:
        raise StampWrong("what is signed is no time stamp")
    if attributes[_MESSAGE_DIGEST][0].parse(bytes) != hashlib.new(_HASHES[oid][0], content).digest():
        raise StampWrong("what is signed is something else")
    _names(attributes, certificate)
    algorithm = signer.algorithm[0].parse(x509.ObjectIdentifier).dotted_string
    if algorithm not in _SIGNATURES:
        raise StampWrong(f"its signature {algorithm} is not one that is believed")
    _verify(certificate, signer.signature, raw, _HASHES[_SIGNATURES[algorithm] or oid][1])
    return certificate


def _certificate(sid: asn1.TLV, known: Sequence[x509.Certificate]) -> x509.Certificate:
    if sid.tag_bytes != b"\x30":
        raise StampWrong("its signer is not named by issuer and number")
    named = sid.parse(_IssuerAndSerial)
    issuer = _der(named.issuer)
    for certificate in known:
        if certificate.serial_number == named.serial and certificate.issuer.public_bytes() == issuer:
            return certificate
    raise StampWrong("its signer's certificate is not in it")


def _names(attributes: dict[str, list[asn1.TLV]], certificate: x509.Certificate) -> None:
    """Does what is signed name the certificate? Without that another one for the same key could be put in."""
    der = certificate.public_bytes(Encoding.DER)
    if _SIGNING_CERTIFICATE_V2 in attributes:
        first = _elements(_der(_elements(_der(_elements(_der(attributes[_SIGNING_CERTIFICATE_V2][0]))[0]))[0]))
        oid = _SHA256.dotted_string
        if first[0].tag_bytes == b"\x30":
            oid = _elements(_der(first.pop(0)))[0].parse(x509.ObjectIdentifier).dotted_string
        if oid not in _HASHES:
            raise StampWrong(f"the digest {oid} of its signer is not one that is believed")
        expected = hashlib.new(_HASHES[oid][0], der).digest()
    elif _SIGNING_CERTIFICATE in attributes:
        first = _elements(_der(_elements(_der(_elements(_der(attributes[_SIGNING_CERTIFICATE][0]))[0]))[0]))
        expected = hashlib.sha1(der, usedforsecurity=False).digest()  # what RFC 3161 of 2001 asked for
    else:
        raise StampWrong("what is signed does not name the signer")
    if first[0].parse(bytes) != expected:
        raise StampWrong("what is signed names another signer")


def _verify(certificate: x509.Certificate, signature: bytes, data: bytes, algorithm: hashes.HashAlgorithm) -> None:
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(algorithm))
        else:
            raise StampWrong("its signer has a key that is neither RSA nor elliptic")
    except InvalidSignature as error:
        raise StampWrong("its signature is wrong") from error


def _trust(
    certificate: x509.Certificate, sent: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate], at: datetime
) -> None:
    """Is it for time stamping, valid then, and one of the trusted ones or led to by them?"""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        raise StampWrong("its signer is not meant for time stamps") from None
    if not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise StampWrong("its signer is not meant for time stamps alone")
    if certificate in trusted:
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise StampWrong("its signer's certificate was not valid then")
        return
    leaf = ExtensionPolicy.permit_all()
    issuer = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _may_issue)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
    )
    builder = PolicyBuilder().store(Store(list(trusted))).time(at.replace(tzinfo=None)).max_chain_depth(CHAIN_MAX)
    verifier = builder.extension_policies(ca_policy=issuer, ee_policy=leaf).build_client_verifier()
    try:
        verifier.verify(certificate, [one for one in sent if one != certificate])
    except VerificationError as error:
        raise StampWrong(f"its signer leads to nobody who is trusted: {error}") from error


def _may_issue(policy: Policy, certificate: x509.Certificate, value: x509.BasicConstraints) -> None:
    if not value.ca:
        raise ValueError("a certificate between is none of an authority")


def _may_sign(policy: Policy, certificate: x509.Certificate, value: x509.KeyUsage | None) -> None:
    if value is not None and not value.key_cert_sign:
        raise ValueError("a certificate between may not sign others")


# -- DER


def _elements(der: bytes) -> list[asn1.TLV]:
    """Of a SEQUENCE."""
    found: list[asn1.TLV] = asn1.decode_der(_Few, _wrapped(0x30, der)).only
    return found


def _der(element: asn1.TLV) -> bytes:
    return bytes(element.tag_bytes) + _length(len(element.data)) + bytes(element.data)


def _wrapped(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + _length(len(content)) + content


def _length(number: int) -> bytes:
    if number < 0x80:
        return bytes([number])
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


def _words(rest: Sequence[Any]) -> str:
    """What the server says about it, where it is text."""
    for element in rest:
        if element.tag_bytes == b"\x30":
            texts = [bytes(one.data).decode("utf-8", "replace") for one in _elements(_der(element))]
            return f": {'; '.join(texts)[:200]}"
    return ""
