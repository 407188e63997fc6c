"""Carries bytes between a unix socket and a TLS connection, both ways, until both ends have said that they are done.

TLS as Python has it cannot close one direction alone, and a connection that breaks must not look like one that ended.
So on the TLS side bytes travel in frames: four bytes of length, then so many bytes; a length of 0 ends the direction.
One thread per connection, which alone touches the TLS state (OpenSSL's is not made for two); whoever wants it to end
calls `cut`. No more is kept in memory than one buffer per direction: who does not read makes the other side wait.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time

CHUNK = 65_536
_HEAD = struct.Struct("!I")
END = _HEAD.pack(0)
_DEAD_S = 25.0
"""After so long without an answer of the other machine's kernel, the connection is over."""
_LOOK_S = 5.0
"""How often that is looked at, where nothing moves."""
_LINGER_S = 2.0
"""Where nobody is left on our side, the other one is heard for so long, so that it gets to read what it was sent."""
_TCP_INFO = struct.Struct("=24xI28xI")
"""Of Linux: segments that are not acknowledged, milliseconds since an acknowledgement came."""
_LEFT = getattr(select, "POLLRDHUP", 0)
_Again = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Broken(Exception):
    """A connection did not come to its end: `str` says why."""


class _Out:
    """From the unix socket into frames."""

    def __init__(self, plain: socket.socket, tls: ssl.SSLSocket) -> None:
        self._plain, self._tls = plain, tls
        self._view = memoryview(bytearray(_HEAD.size + CHUNK))
        self.pending = self._view[:0]
        self.ended = False
        self.unwanted = False  # the other machine has said all and left

    @property
    def done(self) -> bool:
        return self.ended and not self.pending

    def step(self) -> bool:
        """Move what can be moved now; whether that was anything. Raises OSError where TLS is broken."""
        moved = False
        if not self.pending and not self.ended:
            moved = self._read()
        while self.pending:
            try:
                self.pending = self.pending[self._tls.send(self.pending) :]
            except _Again:
                return moved
            moved = True
        return moved

    def _read(self) -> bool:
        try:
            count = self._plain.recv_into(self._view[_HEAD.size :])
        except _Again:
            return False
        except OSError:
            count = 0  # the program there is gone: as if it had ended
        _HEAD.pack_into(self._view, 0, count)
        self.pending = self._view[: _HEAD.size + count]
        self.ended = count == 0
        return True


class _In:
    """Out of frames into the unix socket."""

    def __init__(self, tls: ssl.SSLSocket, plain: socket.socket) -> None:
        self._tls, self._plain = tls, plain
        self._view = memoryview(bytearray(CHUNK))
        self._got = self._view[:0]  # not looked at yet
        self._head = b""
        self._left = 0  # of the frame
        self.pending = self._view[:0]
        self.done = False
        self.unwanted = False  # nobody reads there any more; who writes is heard to the end all the same

    def step(self) -> bool:
        """As `_Out.step`. Raises Broken where it stops before its end."""
        moved = False
        if not (self.pending or self._got or self.done):  # one reading at a time: the other direction has its turn
            moved = self._read()
        while (self.pending or self._got) and not self.done:
            if not self.pending:
                self._unpack()
            elif not self._write():
                return moved
            moved = True
        return moved

    def _read(self) -> bool:
        try:
            count = self._tls.recv_into(self._view)
        except _Again:
            return False
        if not count:
            raise Broken("it was closed or lost before its end")
        self._got = self._view[:count]
        return True

    def _unpack(self) -> None:
        if self._left:
            self.pending, self._got = self._got[: self._left], self._got[self._left :]
            self._left -= len(self.pending)
            return
        missing = _HEAD.size - len(self._head)
        self._head, self._got = self._head + bytes(self._got[:missing]), self._got[missing:]
        if len(self._head) == _HEAD.size:
            (self._left,) = _HEAD.unpack(self._head)
            self._head = b""
            if self._left > CHUNK:
                raise Broken("no frame of ours")
            if not self._left:
                self.done = True
                with contextlib.suppress(OSError):
                    self._plain.shutdown(socket.SHUT_WR)

    def _write(self) -> bool:
        if not self.unwanted:
            try:
                self.pending = self.pending[self._plain.send(self.pending) :]
                return True
            except _Again:
                return False
            except OSError:  # a server may answer and close before it has read all of the question
                self.unwanted = True
        self.pending = self.pending[:0]
        return True


class _Silence:
    """Of the other machine's kernel, while it owes us an answer. Its program may take its time to read: that is no
    silence, and TCP's own timeout for users would take it for one."""

    def __init__(self, end: socket.socket) -> None:
        self._end, self._since_s = end, 0.0

    def is_long(self) -> bool:
        if not hasattr(socket, "TCP_INFO"):
            return False
        told = self._end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        unanswered, since_answer_ms = _TCP_INFO.unpack(told)
        now_s = time.monotonic()
        self._since_s = (self._since_s or now_s) if unanswered else 0.0
        return bool(unanswered) and min(now_s - self._since_s, since_answer_ms / 1000) >= _DEAD_S


def carry(plain: socket.socket, tls: ssl.SSLSocket, idle_s: float) -> None:
    """Until both directions have ended. Raises Broken: the TLS side broke, or nothing moved for `idle_s`."""
    plain.setblocking(False)
    tls.setblocking(False)
    out, back = _Out(plain, tls), _In(tls, plain)
    try:
        _carry(plain, tls, out, back, idle_s)
    except OSError as problem:
        if not back.done:  # or it has said that it was done, and need not wait for us to say so
            raise Broken(problem.strerror or type(problem).__name__) from None


def _carry(plain: socket.socket, tls: ssl.SSLSocket, out: _Out, back: _In, idle_s: float) -> None:
    silence = _Silence(tls)
    moved_s, lingers_s = time.monotonic(), 0.0
    while not ((out.done and back.done) or out.unwanted):
        moved = out.step()
        moved = back.step() or moved
        now_s = time.monotonic()
        if out.done and back.unwanted:
            lingers_s = lingers_s or now_s + _LINGER_S
            if now_s > lingers_s:
                return
        if moved:
            moved_s = now_s
        elif now_s - moved_s >= idle_s:
            raise Broken(f"nothing moved for {idle_s:g} s")
        elif silence.is_long():
            raise Broken("the other machine does not answer")
        else:
            _wait(plain, tls, out, back, min(idle_s, _LINGER_S if lingers_s else _LOOK_S))


def _wait(plain: socket.socket, tls: ssl.SSLSocket, out: _Out, back: _In, wait_s: float) -> None:
    """Until something can be moved, or so long. A socket is watched for nothing but that, or one that hung up would
    wake us for ever; where one has ended, also for being closed altogether, as nobody reads there then."""
    read, write = select.POLLIN, select.POLLOUT
    poller = select.poll()
    near = (0 if out.pending or out.ended else read) | (write if back.pending else 0)
    far = (_LEFT if back.done else 0 if back.pending else read) | (write if out.pending else 0)
    if near or (out.ended and not back.unwanted):
        poller.register(plain, near)
    if far:
        poller.register(tls, far)
    found = dict(poller.poll(wait_s * 1000))
    if out.ended and found.get(plain.fileno(), 0) & (select.POLLHUP | select.POLLERR):
        back.unwanted = True
    if back.done and found.get(tls.fileno(), 0) & ~write:
        out.unwanted = True


def cut(end: socket.socket) -> None:
    """End a connection that another thread is using: it wakes up, and not a byte goes through from here on."""
    with contextlib.suppress(OSError):
        # A TLS socket's own `shutdown` drops its TLS state first, and the other thread would go on in the clear.
        socket.socket.shutdown(end, socket.SHUT_RDWR)


def watchful(end: socket.socket) -> None:
    """Let the kernel find out that the other machine is gone, and send small things at once."""
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def receive(end: socket.socket, count: int) -> bytes:
    """Exactly so many bytes, of a socket with a timeout; fewer where it ends before."""
    got = b""
    while len(got) < count and (more := end.recv(count - len(got))):
        got += more
    return got
