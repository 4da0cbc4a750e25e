"""One spelling for each set of arguments, so that equal ones have equal hashes: keyed, so that nobody tries guesses."""

import hashlib
import hmac
import json

from pydantic import BaseModel

from gateway.principal import Principal


def keyed_hash(text: str, secret: bytes) -> str:
    """HMAC-SHA-256 (RFC 2104), in hexadecimal."""
    return hmac.digest(secret, text.encode(), hashlib.sha256).hex()


def digest(arguments: BaseModel, secret: bytes) -> str:
    """A keyed hash over the validated arguments as JSON with sorted keys and every default filled in."""
    text = json.dumps(arguments.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return keyed_hash(text, secret)


def effect_key(principal: Principal, tool: str, arguments_hash: str, key: str) -> str:
    """The key under which a back end does an effect once.

    It binds caller, tool and arguments, so that nobody's key replays another's result and a key used again with other
    arguments is another effect.

    Args:
        principal: Who calls.
        tool: The tool's name.
        arguments_hash: What `digest` gave.
        key: What the call is known by to whoever repeats it, or its id where nobody can.
    """
    bound = (principal.tenant, *principal.parties, tool, arguments_hash, key)
    return hashlib.sha256("\x1f".join(bound).encode()).hexdigest()


def keyed_name(principal: Principal, key: str, secret: bytes) -> str:
    """The name of the call that a caller's idempotency key stands for: `call_` and 24 hexadecimal digits.

    It binds the caller, so that nobody's key names another's call.

    Args:
        principal: Who calls.
        key: The key as the caller gave it.
        secret: The gateway's, for names.
    """
    bound = "\x1f".join((principal.tenant, *principal.parties, key))
    return f"call_{keyed_hash(bound, secret)[:24]}"


def names_of_key(name: str) -> tuple[str, str]:
    """The two names that may stand for one key: of a call that policy allows and of one that it asks about.

    Args:
        name: Either of them.
    """
    bare = name.partition("_")[2]
    return f"call_{bare}", f"apr_{bare}"
