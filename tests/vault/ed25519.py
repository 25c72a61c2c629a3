"""Verifies Ed25519 signatures (RFC 8032, section 5.1.7), with the standard library alone."""
import hashlib

P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    return (b - a) * (d - c) % P, (d + c) * (b + a) % P, (d - c) * (d + c) % P, (b - a) * (b + a) % P


def times(s, p):
    q = (0, 1, 1, 0)
    while s:
        q, p, s = add(q, p) if s & 1 else q, add(p, p), s >> 1
    return q


def point(b):
    y = int.from_bytes(b, "little") & 2**255 - 1
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x * pow(2, (P - 1) // 4, P) % P if (x * x - square) % P else x
    assert (x * x - square) % P == 0, "no point of the curve"
    x = P - x if x & 1 != b[31] >> 7 else x
    return x, y, 1, x * y % P


def signed(body, signature, public):
    base = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + body).digest(), "little")
    left, right = times(int.from_bytes(signature[32:], "little"), base), add(point(signature[:32]), times(h, point(public)))
    return all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))
