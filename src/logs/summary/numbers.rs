//! No number of a saved summary is so large that adding it up could run over: counts and times of logs
//! are far from that, so a larger one was forged or damaged.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The largest number, either way: above the microseconds of all times that can be written (the year 9999),
/// and small enough that a year of files can be added up.
const LARGEST: u64 = 1 << 58;
/// Hashes use all bits, and are never added.
const HASHES: &[&str] = &["key", "writer"];

/// Looks at all numbers of a saved summary; what is wrong, with the name of the field.
pub(super) fn check(text: &[u8]) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_slice(text);
    Numbers { field: "" }
        .deserialize(&mut json)
        .map_err(|err| err.to_string())
}

/// Sums of durations stop at the largest number by themselves.
fn is_free(field: &str) -> bool {
    HASHES.contains(&field)
        || field == "ns"
        || field.ends_with("_ns")
        || ["took_apply", "took_other"].contains(&field)
}

#[derive(Clone, Copy)]
struct Numbers<'f> {
    /// The field that holds the value.
    field: &'f str,
}

impl Numbers<'_> {
    fn look<E: Error>(self, size: u64) -> Result<(), E> {
        if size > LARGEST && !is_free(self.field) {
            return Err(E::custom(format_args!(
                "`{}` holds a number beyond any count",
                self.field.chars().take(60).collect::<String>()
            )));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Numbers<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Numbers<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.look(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.look(number.unsigned_abs())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            map.next_value_seed(Numbers { field: &field })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_beyond_any_count_is_told_by_its_field() {
        let check = |text: &str| check(text.as_bytes());
        assert!(
            check(r#"{"a":[{"count":5},null,"x",1.5,true],"key":18446744073709551615}"#).is_ok()
        );
        assert!(check(r#"{"sum_ns":18446744073709551615}"#).is_ok());
        for text in [
            r#"{"a":[{"lines":18446744073709551615}]}"#,
            r#"{"lines":[1,-9223372036854775808]}"#,
        ] {
            let why = check(text).unwrap_err();
            assert!(why.contains("`lines`"), "{why}");
        }
    }
}
