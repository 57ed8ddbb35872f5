"""The tree of errors: your fault or theirs."""


class ProtocolError(Exception):
    """Anything that is wrong with the use of the protocol."""


class LocalError(ProtocolError):
    """The caller broke the rules of this package; a bug on our side."""


class RemoteError(ProtocolError):
    """The peer broke the rules. Its connection is dropped; the message is the reason that is logged."""


class BadPath(RemoteError):
    """A path that no record may carry."""


class BadRecord(RemoteError):
    """Bytes that are not a canonical record of this folder."""


class BadProof(RemoteError):
    """A signature, certificate or Merkle path that does not hold."""


class CodecError(RemoteError):
    """Bytes that are not strict canonical MessagePack, or exceed a bound."""


class FrameError(RemoteError):
    """A message frame that breaks the framing rules."""


class MessageError(RemoteError):
    """A message whose fields are not what its type says."""


class HandshakeError(RemoteError):
    """A handshake that did not authenticate or broke its framing."""


class TransportError(RemoteError):
    """A transport record that does not open."""


class SecretError(ValueError):
    """A credential string that cannot be used; the message says why and what to do."""
