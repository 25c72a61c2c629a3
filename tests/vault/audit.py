"""Verifies an exported audit trail against a signed checkpoint, written from docs/audit.md alone, with the standard library alone.
Usage: audit.py EXPORT [NOTE PUBLIC_KEY]. Exit 1 and one line on stdout when something is not as it was."""
import base64
import hashlib
import json
import sys

from ed25519 import signed


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else sha()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1", root(leaves[:half]), root(leaves[half:]))


def trail(path):
    """Leaves and chain heads of the entries; stops at the first that is wrong."""
    leaves, heads = [], [bytes(32)]
    for n, line in enumerate(open(path, "rb").read().split(b"\n")[:-1]):
        text, _, rest = line.rpartition(b',"chain":"')
        if json.loads(text + b"}").get("n") != n:
            sys.exit(print(f"entry {n} is missing, or another stands in its place") or 1)
        leaves.append(sha(b"\0", text + b"}"))
        heads.append(sha(heads[-1], leaves[-1]))
        if rest != heads[-1].hex().encode() + b'"}':
            sys.exit(print(f"entry {n} was changed") or 1)
    return leaves, heads


leaves, heads = trail(sys.argv[1])
if len(sys.argv) > 2:
    body, _, signatures = open(sys.argv[2], "rb").read().partition(b"\n\n")
    name, key_id, public = open(sys.argv[3]).read().strip().split("+", 2)
    lines = [line.split(" ") for line in signatures.decode().splitlines()]
    found = [base64.b64decode(line[2]) for line in lines if line[:2] == ["\u2014", name]]
    found = [s[4:] for s in found if s[:4].hex() == key_id]
    body, public = body + b"\n", base64.b64decode(public)[1:]
    if not any(signed(body, s, public) for s in found) or body.split(b"\n")[0] != name.encode():
        sys.exit(print("the checkpoint is not signed by that key") or 1)
    size, top, head = int(body.split(b"\n")[1]), body.split(b"\n")[2], body.split(b"\n")[3]
    if len(leaves) < size or base64.b64encode(root(leaves[:size])) != top or head != b"chain " + heads[size].hex().encode():
        sys.exit(print(f"these are not the {size} entries that were signed") or 1)
print(f"{len(leaves)} entries are as they were")
