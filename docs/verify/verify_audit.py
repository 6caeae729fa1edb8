#!/usr/bin/env python3
"""Check an export of Vouch's audit log against its hashes and its signed checkpoints, without Vouch.

    python3 verify_audit.py EXPORT.jsonl [--checkpoints DIRECTORY --public-key KEY] [--part]

It shares no code with Vouch. It needs Python 3.9 and, for the signatures alone, the package `cryptography`. Exit
status: 0 whole; 1 something is wrong; 2 cannot read; 3 nothing wrong, but not all of it could be checked.
`--part`: the export holds some models or some time only, so what it lacks is no fault.
"""

import argparse
import hashlib
import json
import pathlib
import re
import sys

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    Ed25519PublicKey = None

ZERO = "0" * 64
wrong, unchecked = [], []


def canonical(value):
    """JSON with sorted keys, no spaces, UTF-8: the bytes that are hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def entries(path, part, wanted):
    """Check every entry, and take those that the checkpoints name out of `wanted`; {chain: last sequence}."""
    last, bad = {}, set()
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            entry = json.loads(line)
            told = entry.pop("hash")
            chain, sequence = entry["chain"], entry["sequence"]
            before, previous = last.get(chain, (0, ZERO))
            witness = wanted.pop((chain, sequence), None)
            fault = None
            if (
                canonical({**entry, "hash": told}) + b"\n" != line
                or hashlib.sha256(canonical(entry)).hexdigest() != told
            ):
                fault = "its content is not what was written"
            elif sequence <= before:
                fault = f"it comes after entry {before}"
            elif sequence == before + 1 and entry["previous_hash"] != previous:
                fault = "it does not follow the entry before it"
            elif sequence > before + 1 and not part:
                fault = f"entry {before + 1} is missing before it"
            elif witness and witness[1] != told:
                fault = f"checkpoint {witness[0]} names another hash for it"
            if fault and chain not in bad:  # the first of each chain; what follows it follows from it
                bad.add(chain)
                what = f"{entry['verb']}, {entry['subject']}"
                wrong.append(f"chain {chain or 'accounts'}, entry {sequence} ({what}), line {number}: {fault}")
            last[chain] = (sequence, told)
    for (chain, sequence), (number, _) in {} if part else wanted.items():
        if chain not in bad:
            bad.add(chain)
            there = last.get(chain, (0, ZERO))[0]
            wrong.append(
                f"chain {chain or 'accounts'}, entry {there + 1}: it is missing; checkpoint {number} names {sequence}"
            )
    return {chain: sequence for chain, (sequence, _) in last.items()}


def points(directory, trusted):
    """{(chain, sequence): (number, hash)} of all sound checkpoints; what is missing or unsound is noted."""
    files, found_points = {}, {}
    for path in pathlib.Path(directory).iterdir():
        if found := re.fullmatch(r"checkpoint-(\d{10})\.jsonl", path.name):
            files[int(found[1])] = path
    if not files:
        wrong.append(f"there is no checkpoint in {directory}")
    previous = ZERO
    for number in range(1, max(files, default=0) + 1):
        try:
            content = files[number].read_bytes()
            signed, _, last = content.rstrip(b"\n").rpartition(b"\n")
            head, *told = [json.loads(line) for line in signed.split(b"\n")]
            closing = json.loads(last)
            digest = hashlib.sha256(signed + b"\n").hexdigest()
            fault = (
                "its content is not what was signed" if digest != closing["digest"]
                else f"it is checkpoint {head['number']}" if head["number"] != number
                else f"it is signed by {head['key']}, which you do not trust" if trusted and head["key"] not in trusted
                else "its signature is not valid" if not is_signed(digest, closing["signature"], head["key"])
                else "it does not follow the one before it" if previous not in (None, head["previous"])
                else None
            )  # fmt: skip
        except KeyError as error:
            fault = "it is missing" if error.args == (number,) else "it is not a checkpoint"
        except (ValueError, TypeError):
            fault = "it is not a checkpoint"
        if fault:
            wrong.append(f"checkpoint {number}: {fault}")
        previous = None if fault else digest
        for point in [] if fault else told:
            known = found_points.setdefault((point["chain"], point["sequence"]), (number, point["hash"]))
            if known[1] != point["hash"]:
                wrong.append(f"checkpoint {number} contradicts checkpoint {known[0]} on chain {point['chain']}")
    return found_points


def is_signed(digest, signature, key):
    if Ed25519PublicKey is None:
        return True  # main says that it was not checked
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        public.verify(bytes.fromhex(signature), f"vouch-checkpoint/1 {digest}".encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def key_of(value):
    path = pathlib.Path(value)
    text = path.read_text().strip() if path.is_file() else value
    if not re.fullmatch("[0-9a-f]{64}", text):
        sys.exit(f"{value!r} is no public key: give 64 hexadecimal digits, or a file that holds them")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export")
    parser.add_argument("--checkpoints", metavar="DIRECTORY")
    parser.add_argument("--public-key", action="append", default=[], metavar="KEY", help="64 hex digits or a file")
    parser.add_argument("--part", action="store_true")
    options = parser.parse_args()
    try:
        wanted = {}
        if options.checkpoints:
            wanted = points(options.checkpoints, {key_of(value) for value in options.public_key})
            if Ed25519PublicKey is None:
                unchecked.append("the signatures of the checkpoints: the package `cryptography` is not installed")
            elif not options.public_key:
                unchecked.append("who signed the checkpoints: name the key you know with --public-key")
        else:
            unchecked.append("the checkpoints: name their directory with --checkpoints")
        last = entries(options.export, options.part, wanted)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"cannot read it: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    for one in wrong:
        print(f"WRONG  {one}")
    for one in unchecked:
        print(f"NOT CHECKED  {one}")
    verdict = "WRONG" if wrong else "nothing wrong"
    print(f"{len(last)} chains, the longest of {max(last.values(), default=0)} entries: {verdict}")
    return 1 if wrong else 3 if unchecked else 0


if __name__ == "__main__":
    sys.exit(main())
