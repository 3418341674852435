//! A reader for which an object is an object: by itself, serde takes an array for a struct too, its values by position, so
//! that a field added in the middle would change what old bodies mean.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
    value::{MapAccessDeserializer, StrDeserializer},
};

/// Wraps a deserializer and everything below it.
pub(super) struct Named<D>(pub(super) D);

macro_rules! forward {
    ($($name:ident($($argument:ident: $kind:ty),*) $named:literal;)*) => {
        $(fn $name<V: Visitor<'de>>(self, $($argument: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$name($($argument,)* Seen { visitor, named: $named })
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Named<D> {
    type Error = D::Error;

    forward! {
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) true;
        deserialize_any() false;
        deserialize_bool() false;
        deserialize_i8() false;
        deserialize_i16() false;
        deserialize_i32() false;
        deserialize_i64() false;
        deserialize_i128() false;
        deserialize_u8() false;
        deserialize_u16() false;
        deserialize_u32() false;
        deserialize_u64() false;
        deserialize_u128() false;
        deserialize_f32() false;
        deserialize_f64() false;
        deserialize_char() false;
        deserialize_str() false;
        deserialize_string() false;
        deserialize_bytes() false;
        deserialize_byte_buf() false;
        deserialize_option() false;
        deserialize_unit() false;
        deserialize_unit_struct(name: &'static str) false;
        deserialize_newtype_struct(name: &'static str) false;
        deserialize_seq() false;
        deserialize_tuple(len: usize) false;
        deserialize_tuple_struct(name: &'static str, len: usize) false;
        deserialize_map() false;
        deserialize_identifier() false;
        deserialize_ignored_any() false;
    }

    /// One of several words, or an object whose only name is one of them. Asked for anything, the wrapped deserializer says what
    /// there is; asked for a word, it would say of a number or of `true` that it is no JSON.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Choice { visitor, words })
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// What is given to the wrapped deserializer where one of several words is expected.
struct Choice<V> {
    visitor: V,
    words: &'static [&'static str],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Choice<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of `{}`", self.words.join("`, `"))
    }
    fn visit_str<E: Error>(self, word: &str) -> Result<V::Value, E> {
        self.visitor.visit_enum(Inside(StrDeserializer::new(word)))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(Inside(MapAccessDeserializer::new(map)))
    }
}

/// What is given to the wrapped deserializer instead of a visitor.
struct Seen<V> {
    visitor: V,
    /// Whether it stands for a struct, whose fields have names.
    named: bool,
}

macro_rules! visit {
    ($($name:ident($kind:ty);)*) => {
        $(fn $name<E: Error>(self, value: $kind) -> Result<V::Value, E> {
            if self.named { Err(misplaced(value.unexpected())) } else { self.visitor.$name(value) }
        })*
    };
}

/// A single value in the place of an object.
fn misplaced<E: Error>(found: Unexpected<'_>) -> E {
    E::invalid_type(found, &"an object with named fields")
}

/// How a value is called in what is said of it.
trait Single {
    fn unexpected(&self) -> Unexpected<'_>;
}

macro_rules! single {
    ($($kind:ty: $value:ident => $unexpected:expr;)*) => {
        $(impl Single for $kind {
            fn unexpected(&self) -> Unexpected<'_> {
                let $value = self;
                $unexpected
            }
        })*
    };
}

single! {
    bool: value => Unexpected::Bool(*value);
    i8: value => Unexpected::Signed(i64::from(*value));
    i16: value => Unexpected::Signed(i64::from(*value));
    i32: value => Unexpected::Signed(i64::from(*value));
    i64: value => Unexpected::Signed(*value);
    i128: _value => Unexpected::Other("a whole number");
    u8: value => Unexpected::Unsigned(u64::from(*value));
    u16: value => Unexpected::Unsigned(u64::from(*value));
    u32: value => Unexpected::Unsigned(u64::from(*value));
    u64: value => Unexpected::Unsigned(*value);
    u128: _value => Unexpected::Other("a whole number");
    f32: value => Unexpected::Float(f64::from(*value));
    f64: value => Unexpected::Float(*value);
    char: value => Unexpected::Char(*value);
    &str: value => Unexpected::Str(value);
    String: value => Unexpected::Str(value);
    &[u8]: value => Unexpected::Bytes(value);
    Vec<u8>: value => Unexpected::Bytes(value);
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Seen<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of a type of ours would tell the caller nothing.
        if self.named { f.write_str("an object with named fields") } else { self.visitor.expecting(f) }
    }

    visit! {
        visit_bool(bool);
        visit_i8(i8);
        visit_i16(i16);
        visit_i32(i32);
        visit_i64(i64);
        visit_i128(i128);
        visit_u8(u8);
        visit_u16(u16);
        visit_u32(u32);
        visit_u64(u64);
        visit_u128(u128);
        visit_f32(f32);
        visit_f64(f64);
        visit_char(char);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        if self.named { Err(misplaced(Unexpected::Unit)) } else { self.visitor.visit_unit() }
    }
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Named(inner))
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Named(inner))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        if self.named {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        self.visitor.visit_seq(Inside(seq))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Inside(map))
    }
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(Inside(data))
    }
}

/// Wraps what gives access to the parts of a value, and each part on its way.
struct Inside<A>(A);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Inside<S> {
    type Value = S::Value;
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Named(inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Inside<A> {
    type Error = A::Error;
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Inside(seed))
    }
    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Inside<A> {
    type Error = A::Error;
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Inside(seed))
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Inside(seed))
    }
    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Inside<A> {
    type Error = A::Error;
    type Variant = Inside<A::Variant>;
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        self.0.variant_seed(Inside(seed)).map(|(value, variant)| (value, Inside(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Inside<A> {
    type Error = A::Error;
    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Inside(seed))
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Seen { visitor, named: false })
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Seen { visitor, named: true })
    }
}
