//! Total, bounded encoding and decoding over byte slices.
//!
//! [`Reader`] never panics and allocates no more than a small multiple of its input (`tests/malformed.rs` measures it);
//! [`Writer`] only appends. Both are little-endian. Lengths of variable fields are written as `u32` and checked against
//! a limit, by the reader and by the writer: bytes that no reader would take must never reach a disk.

use crate::error::FormatError;

/// A value with one byte representation.
pub trait Encode {
    /// Appends the bytes of `self` to `out`.
    fn encode(&self, out: &mut Writer);

    /// The bytes of `self` alone.
    ///
    /// # Panics
    /// When `self` breaks a limit of its layout, so that no reader would take the bytes. Values that clients have a say
    /// in go through [`Encode::to_checked_bytes`] first.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.encode(&mut out);
        out.into_vec()
    }

    /// The bytes of `self` alone, or the limit that it breaks.
    fn to_checked_bytes(&self) -> Result<Vec<u8>, FormatError> {
        let mut out = Writer::new();
        self.encode(&mut out);
        out.into_checked()
    }
}

/// The reverse of [`Encode`]: total over every input.
pub trait Decode: Sized {
    /// Reads one value and leaves the reader behind it.
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError>;

    /// Reads one value that must fill `bytes` exactly.
    fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes);
        let value = Self::decode(&mut input)?;
        input.finish("value")?;
        Ok(value)
    }
}

/// An append-only byte buffer with typed writes. It remembers the first limit that was broken.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    refused: Option<FormatError>,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The written bytes.
    ///
    /// # Panics
    /// When a limit was broken.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        assert!(self.refused.is_none(), "bytes that no reader takes: {:?}", self.refused);
        self.bytes
    }

    /// The written bytes, or the first limit that was broken.
    pub fn into_checked(self) -> Result<Vec<u8>, FormatError> {
        match self.refused {
            None => Ok(self.bytes),
            Some(refused) => Err(refused),
        }
    }

    /// A view of what was written.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Remembers a broken limit, unless one is remembered already.
    pub fn check(&mut self, outcome: Result<(), FormatError>) {
        if let (None, Err(refused)) = (&self.refused, outcome) {
            self.refused = Some(refused);
        }
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Appends a 16-bit integer.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Appends a 32-bit integer.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Appends a 64-bit integer.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// Appends bytes without a length: the reader must know it.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a `u32` length and the bytes.
    pub fn var(&mut self, bytes: &[u8]) {
        self.var_within(u32::MAX, bytes, "bytes");
    }

    /// Appends a `u32` length of at most `limit` and the bytes.
    pub fn var_within(&mut self, limit: u32, bytes: &[u8], what: &'static str) {
        self.count_within(limit, bytes.len(), what);
        self.raw(bytes);
    }

    /// Appends a `u32` length of at most [`TEXT_LIMIT`] and the UTF-8 bytes.
    pub fn text(&mut self, text: &str) {
        self.var_within(TEXT_LIMIT, text.as_bytes(), "text");
    }

    /// Appends a length or count as `u32`.
    pub fn count(&mut self, count: usize) {
        self.count_within(u32::MAX, count, "count");
    }

    /// Appends a length or count of at most `limit` as `u32`.
    pub fn count_within(&mut self, limit: u32, count: usize, what: &'static str) {
        let found = count as u64;
        if found > limit.into() {
            self.check(Err(FormatError::OverLimit { what, found, limit: limit.into() }));
        }
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Appends a `u32` length of at most `limit` and what `body` writes.
    pub fn nested(&mut self, limit: u32, what: &'static str, body: impl FnOnce(&mut Self)) {
        let mut inner = Self::new();
        body(&mut inner);
        self.var_within(limit, &inner.bytes, what);
        self.check(inner.refused.map_or(Ok(()), Err));
    }

    /// Appends `0` or `1` and, after `1`, the value.
    pub fn option<T: Encode>(&mut self, value: Option<&T>) {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                value.encode(self);
            }
        }
    }

    /// Appends a count of at most [`LIST_LIMIT`] and every item.
    pub fn list<T: Encode>(&mut self, items: &[T]) {
        self.list_within(LIST_LIMIT, items, "list");
    }

    /// Appends a count of at most `limit` and every item.
    pub fn list_within<T: Encode>(&mut self, limit: u32, items: &[T], what: &'static str) {
        self.count_within(limit, items.len(), what);
        for item in items {
            item.encode(self);
        }
    }

    /// Appends `count` zero bytes.
    pub fn zeros(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count, 0);
    }
}

/// A cursor over hostile bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes `len` bytes.
    pub fn raw(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], FormatError> {
        match self.rest.split_at_checked(len) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(FormatError::Truncated { what, missing: len - self.rest.len() }),
        }
    }

    /// Takes a fixed array.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FormatError> {
        let mut out = [0; N];
        out.copy_from_slice(self.raw(N, what)?);
        Ok(out)
    }

    /// Takes one byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, FormatError> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    /// Takes a 16-bit integer.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// Takes a 32-bit integer.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Takes a 64-bit integer.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Takes a length of at most `limit` and that many bytes.
    pub fn var(&mut self, limit: u32, what: &'static str) -> Result<&'a [u8], FormatError> {
        let len = self.limited(limit, what)?;
        self.raw(len, what)
    }

    /// Takes a length of at most `limit` and that many bytes of UTF-8.
    pub fn text(&mut self, limit: u32, what: &'static str) -> Result<String, FormatError> {
        let bytes = self.var(limit, what)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(FormatError::Invalid { what }),
        }
    }

    /// Takes a list of at most `limit` items. Each item takes at least one byte, so memory is bounded by the input; nothing
    /// is reserved on the word of the count.
    pub fn list<T: Decode>(&mut self, limit: u32, what: &'static str) -> Result<Vec<T>, FormatError> {
        let count = self.limited(limit, what)?;
        if count > self.rest.len() {
            return Err(FormatError::Truncated { what, missing: count - self.rest.len() });
        }
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(T::decode(self)?);
        }
        Ok(items)
    }

    /// Takes a flag and, after `1`, a value.
    pub fn option<T: Decode>(&mut self, what: &'static str) -> Result<Option<T>, FormatError> {
        match self.u8(what)? {
            0 => Ok(None),
            1 => Ok(Some(T::decode(self)?)),
            _ => Err(FormatError::Invalid { what }),
        }
    }

    /// Takes `0` or `1`.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, FormatError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(FormatError::Invalid { what }),
        }
    }

    /// Takes `len` bytes that must be zero.
    pub fn zeros(&mut self, len: usize, what: &'static str) -> Result<(), FormatError> {
        if self.raw(len, what)?.iter().any(|byte| *byte != 0) {
            return Err(FormatError::Invalid { what });
        }
        Ok(())
    }

    /// Succeeds when nothing is left.
    pub fn finish(self, what: &'static str) -> Result<(), FormatError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(FormatError::TrailingBytes { what, extra: self.rest.len() })
    }

    fn limited(&mut self, limit: u32, what: &'static str) -> Result<usize, FormatError> {
        let found = self.u32(what)?;
        if found > limit {
            return Err(FormatError::OverLimit { what, found: found.into(), limit: limit.into() });
        }
        Ok(found as usize)
    }
}

/// Longest text in a record, in bytes. S3 keys end at 1,024, user metadata at 2 KiB; the rest is headroom.
pub const TEXT_LIMIT: u32 = 65_536;
/// Longest byte field in a record.
pub const BYTES_LIMIT: u32 = 1 << 20;
/// Most items of a list in a record.
pub const LIST_LIMIT: u32 = 1 << 20;

macro_rules! int_codec {
    ($($int:ty => $method:ident),*) => {$(
        impl Encode for $int {
            fn encode(&self, out: &mut Writer) {
                out.$method(*self);
            }
        }

        impl Decode for $int {
            fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
                input.$method(stringify!($int))
            }
        }
    )*};
}

int_codec!(u8 => u8, u16 => u16, u32 => u32, u64 => u64);

impl Encode for bool {
    fn encode(&self, out: &mut Writer) {
        out.u8(u8::from(*self));
    }
}

impl Decode for bool {
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        input.bool("bool")
    }
}

impl Encode for String {
    fn encode(&self, out: &mut Writer) {
        out.text(self);
    }
}

impl Decode for String {
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        input.text(TEXT_LIMIT, "text")
    }
}

/// Opaque bytes of variable length (a sealed secret, a digest).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Blob(pub Vec<u8>);

impl Encode for Blob {
    fn encode(&self, out: &mut Writer) {
        out.var_within(BYTES_LIMIT, &self.0, "bytes");
    }
}

impl Decode for Blob {
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self(input.var(BYTES_LIMIT, "bytes")?.to_vec()))
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Writer) {
        out.list(self);
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        input.list(LIST_LIMIT, "list")
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Writer) {
        out.option(self.as_ref());
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        input.option("option")
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, out: &mut Writer) {
        out.raw(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        input.array("array")
    }
}
