//! Declarations of stored types: [`layout!`](crate::layout) for structs, [`code!`](crate::code) for closed enums.
//!
//! Both derive the two halves of the codec from one list of fields, so that they cannot disagree.

/// Declares a struct whose bytes are its fields in order, each by its own codec. After `check` may stand a function that
/// refuses values no writer produces; reader and writer both ask it.
#[macro_export]
macro_rules! layout {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $ty:ty,)* } $(check $check:path)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $ty,)* }

        $crate::layout_codec!($name { $($field: $ty,)* } $(check $check)?);
    };
}

/// The codec half of [`layout!`](crate::layout), for structs that derive differently.
#[macro_export]
macro_rules! layout_codec {
    ($name:ident { $($field:ident: $ty:ty),* $(,)? } $(check $check:path)?) => {
        impl $name {
            /// Name and type of every field, in the order of the bytes; `tests/docs.rs` holds them against docs/format.md.
            pub const FIELDS: &'static [(&'static str, &'static str)] = &[$((stringify!($field), stringify!($ty)),)*];
        }

        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut $crate::codec::Writer) {
                $(out.check($check(self));)?
                $($crate::codec::Encode::encode(&self.$field, out);)*
            }
        }

        impl $crate::codec::Decode for $name {
            fn decode(input: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::error::FormatError> {
                let value = Self { $($field: <$ty as $crate::codec::Decode>::decode(input)?,)* };
                $($check(&value)?;)?
                Ok(value)
            }
        }
    };
}

/// Declares an enum of unit variants stored as one integer; unknown values are refused.
#[macro_export]
macro_rules! code {
    ($(#[$doc:meta])* pub enum $name:ident: $int:ty { $($(#[$variant_doc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every value, in the order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The integer that stands for this value on disk.
            #[must_use]
            pub fn code(self) -> $int {
                match self { $(Self::$variant => $value,)* }
            }
        }

        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut $crate::codec::Writer) {
                $crate::codec::Encode::encode(&self.code(), out);
            }
        }

        impl $crate::codec::Decode for $name {
            fn decode(input: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::error::FormatError> {
                match <$int as $crate::codec::Decode>::decode(input)? {
                    $($value => Ok(Self::$variant),)*
                    _ => Err($crate::error::FormatError::Invalid { what: stringify!($name) }),
                }
            }
        }
    };
}
