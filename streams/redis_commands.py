"""What a batch is on the wire: scripts, and their calls in Redis' protocol (RESP).

A profile is written by one call of a script that is atomic and names only the keys of that
profile, so it works in a cluster. It costs the server about 20 µs (2 KB of state, append-only file
off), half of it for taking in the bytes; sixteen profiles per call would save a tenth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

import hiredis

from profiler.recommendation.stored import REVISION_BYTES
from profiler.state import revision_bytes
from streams.store import (
    LOAD_TTL_S,
    Erasure,
    Move,
    ProfileWrite,
    RowWrite,
    Write,
    mark_key,
    profile_key,
    row_key,
    state_key,
    traits_key,
)

CHUNK_COMMANDS: Final = 1_024
"""Commands per send. Two chunks are under way at most, which bounds what either side must hold."""

Request = tuple[bytes, int]
"""Packed commands, and the number of replies they will have."""

_Item = TypeVar("_Item")

# GETRANGE 9 16 is `profiler.state.REV_SLICE`, whose places GETRANGE counts inclusively.
# The hash first: if a foreign key of another type stood there, its error leaves the state alone.
WRITE_SCRIPT: Final = b"""\
local call = redis.call
if call('GETRANGE', KEYS[1], 9, 16) ~= ARGV[1] then return 0 end
call('HSET', KEYS[2], 'vector', ARGV[3], 'summary', ARGV[4],
     'as_of', ARGV[5], 'rev', ARGV[6], 'spec', ARGV[7])
call('PEXPIRE', KEYS[2], ARGV[8])
call('SET', KEYS[1], ARGV[2], 'PX', ARGV[8])
if ARGV[9] == '' then call('DEL', KEYS[3])
elseif ARGV[9] then call('SET', KEYS[3], ARGV[9], 'PX', ARGV[8]) end
return 1"""
MOVE_SCRIPT: Final = b"""\
local call = redis.call
if call('GETRANGE', KEYS[1], 9, 16) ~= ARGV[1] then return 0 end
call('DEL', KEYS[2], KEYS[3])
call('HSET', KEYS[2], 'moved_to', ARGV[3], 'rev', ARGV[4], 'spec', ARGV[5])
call('PEXPIRE', KEYS[2], ARGV[6])
call('SET', KEYS[1], ARGV[2], 'PX', ARGV[6])
return 1"""
RETURN_SCRIPT: Final = WRITE_SCRIPT.replace(
    b"\nreturn 1", b"\ncall('HDEL', KEYS[2], 'moved_to')\nreturn 1"
)
"""The same for somebody who may have moved before."""
MARKED: Final = (
    b"return 0 end\n",
    b"return 0 end\nif call('EXISTS', KEYS[4]) == 1 then return 0 end\n",
)
"""How a script refuses what carries a mark that is there already …"""
MARKING: Final = b"\ncall('SET', KEYS[4], '', 'EX', %d)\nreturn 1" % LOAD_TTL_S
"""… and sets it otherwise."""
ERASE_SCRIPT: Final = b"""\
if redis.call('GETRANGE', KEYS[1], 9, 16) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('SET', KEYS[1], ARGV[2])
return 1"""
ROW_SCRIPT: Final = b"""\
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1"""
_WRITE_SHA: Final = hashlib.sha1(WRITE_SCRIPT, usedforsecurity=False).hexdigest().encode()
_WRITE_HEAD: Final = b"*13\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n2\r\n" % _WRITE_SHA
_WRITE_TRAITS_HEAD: Final = b"*15\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n3\r\n" % _WRITE_SHA


TAIL_WORDS: Final = 2


def packed_tail(spec_hash: str, *, ttl_ms: int) -> bytes:
    """Return the last words of every write, which one store has in common."""
    words = (spec_hash.encode(), b"%d" % ttl_ms)
    return b"".join(map(_word, words))


def chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Cut into runs of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def packed_reads(keys: Iterable[str]) -> Iterator[Request]:
    """Get values, in chunks. Not one MGET: a cluster has them in different slots."""
    for chunk in chunks(list(keys), CHUNK_COMMANDS):
        packed = [_pack(b"GET", key) for key in chunk]
        yield b"".join(packed), len(packed)


def packed_marks(mark: str, pids: Sequence[str]) -> Iterator[Request]:
    """Ask for marks, in chunks: 1 where there is one."""
    for chunk in chunks(pids, CHUNK_COMMANDS):
        packed = [_pack(b"EXISTS", mark_key(pid, mark)) for pid in chunk]
        yield b"".join(packed), len(packed)


def packed_views(pids: Sequence[str]) -> Iterator[Request]:
    """Get all fields of what readers see, in chunks."""
    for chunk in chunks(pids, CHUNK_COMMANDS):
        packed = [_pack(b"HGETALL", profile_key(pid)) for pid in chunk]
        yield b"".join(packed), len(packed)


def packed_writes(writes: Sequence[Write], tail: bytes) -> Iterator[Request]:
    """Load the script (one reply more), then call it for each write, in chunks.

    `tail` is from `packed_tail`. A reply is 1 where written, 0 where refused.
    """
    yield SCRIPT_LOAD
    yield from packed_calls(writes, tail)


def packed_calls(writes: Sequence[Write], tail: bytes) -> Iterator[Request]:
    """Call the script, which must have been loaded on the same connection."""
    for chunk in chunks(writes, CHUNK_COMMANDS):
        parts: list[bytes] = []
        for write in chunk:
            if isinstance(write, ProfileWrite):
                is_plain = not (write.returns or write.mark)
                parts += (_packed_write if is_plain else _packed_return)(write, tail)
            elif isinstance(write, Move):
                parts += _packed_move(write, tail)
            else:
                parts.append(_packed_erasure(write))
        yield b"".join(parts), len(chunk)


def packed_rows(writes: Sequence[RowWrite], ttl_ms: int) -> Iterator[Request]:
    """Write rows of statistics, in chunks. A reply is 1 where written, 0 where refused."""
    for chunk in chunks(writes, CHUNK_COMMANDS):
        parts = []
        for write in chunk:
            made = int.from_bytes(write.value[:REVISION_BYTES], "little")
            before = (made - 1).to_bytes(REVISION_BYTES, "little") if made > 1 else b""
            key = row_key(write.kind, write.name)
            words = (before, write.value, b"%d" % ttl_ms)
            parts.append(_pack(b"EVAL", ROW_SCRIPT, b"1", key, *words))
        yield b"".join(parts), len(chunk)


def _packed_write(write: ProfileWrite, tail: bytes) -> tuple[bytes, ...]:
    """One EVALSHA in pieces: half the cost of `hiredis.pack_command`, which copies every word."""
    pid, state, vector, summary = write.pid.encode(), write.state, write.vector, write.summary
    expected, as_of, rev = _expected(write.rev), b"%d" % write.as_of_ms, b"%d" % write.rev
    keys = b"$%d\r\nstate:{%b}\r\n$%d\r\nprofile:{%b}" % (len(pid) + 8, pid, len(pid) + 10, pid)
    head, more = _WRITE_HEAD, b""
    if write.traits is not None:
        head, keys = _WRITE_TRAITS_HEAD, b"%b\r\n$%d\r\ntraits:{%b}" % (keys, len(pid) + 9, pid)
        more = _word(write.traits)
    return (
        head,
        keys,
        b"\r\n$%d\r\n%b\r\n$%d\r\n" % (len(expected), expected, len(state)),
        state,
        b"\r\n$%d\r\n" % len(vector),
        vector,
        b"\r\n$%d\r\n" % len(summary),
        summary,
        b"\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(as_of), as_of, len(rev), rev),
        tail,
        more,
    )


def _packed_return(write: ProfileWrite, tail: bytes) -> tuple[bytes, ...]:
    words = write.vector, write.summary, b"%d" % write.as_of_ms, b"%d" % write.rev
    script = RETURN_SCRIPT if write.returns else WRITE_SCRIPT
    if write.traits is None:
        return _packed_eval(script, write, words, tail)
    return _packed_eval(script, write, words, tail, _word(write.traits))


def _packed_move(write: Move, tail: bytes) -> tuple[bytes, ...]:
    return _packed_eval(MOVE_SCRIPT, write, (write.moved_to.encode(), b"%d" % write.rev), tail)


def _packed_eval(
    script: bytes, write: ProfileWrite | Move, words: tuple[bytes, ...], *tail: bytes
) -> tuple[bytes, ...]:
    keys = []
    if write.mark:
        keys.append(mark_key(write.pid, write.mark))
        script = script.replace(*MARKED).replace(b"\nreturn 1", MARKING)
    packed = _pack(*_eval(script, write, *keys), *words)
    # The first of the tail holds several words, each other one.
    n_words = 8 + len(keys) + len(words) + TAIL_WORDS + len(tail) - 1
    return b"*%d" % n_words, packed[packed.index(b"\r\n") :], *tail


def _packed_erasure(write: Erasure) -> bytes:
    return _pack(*_eval(ERASE_SCRIPT, write))


def _eval(script: bytes, write: Write, *more: str) -> tuple[bytes | str, ...]:
    keys = state_key(write.pid), profile_key(write.pid), traits_key(write.pid), *more
    return b"EVAL", script, b"%d" % len(keys), *keys, _expected(write.rev), write.state


def _word(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)


def _pack(*words: bytes | str) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub means any length
    return packed


# Loading the script with every batch costs the server some µs and saves us from knowing when a
# restart, a failover or an operator has made it forget.
SCRIPT_LOAD: Final[Request] = (_pack(b"SCRIPT", b"LOAD", WRITE_SCRIPT), 1)
ASKING: Final = _pack(b"ASKING")


def _expected(rev: int) -> bytes:
    """Return what GETRANGE must find: the revision before, nothing where there is no state."""
    return b"" if rev == 1 else revision_bytes(rev - 1)
