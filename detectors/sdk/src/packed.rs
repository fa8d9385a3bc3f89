//! Owns how long lists of small numbers are saved: as one run of bytes, which takes a fraction of the time of one number after
//! the other. For `#[serde(with = "...")]`.

use serde::de::{Error, Visitor};
use std::fmt;

struct Run;

impl Visitor<'_> for Run {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a run of bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

/// For `Vec<u8>`.
pub mod bytes {
    use serde::{Deserializer, Serializer};

    /// Writes the bytes.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    /// Reads them.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(super::Run)
    }
}

/// For `VecDeque<f32>`: four bytes each, the lowest first.
pub mod floats {
    use serde::{Deserializer, Serializer, de::Error};
    use std::collections::VecDeque;

    /// Writes the numbers.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(floats: &VecDeque<f32>, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(4 * floats.len());
        floats.iter().for_each(|float| bytes.extend_from_slice(&float.to_le_bytes()));
        serializer.serialize_bytes(&bytes)
    }

    /// Reads them.
    ///
    /// # Errors
    /// Those of the deserializer, and if the bytes are no multiple of four.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VecDeque<f32>, D::Error> {
        let bytes = deserializer.deserialize_byte_buf(super::Run)?;
        let (floats, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(D::Error::custom("the bytes are no whole numbers"));
        }
        Ok(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::State;
    use serde::{Deserialize, Serialize};
    use std::collections::VecDeque;

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Saved {
        #[serde(with = "super::bytes")]
        bytes: Vec<u8>,
        #[serde(with = "super::floats")]
        floats: VecDeque<f32>,
        rest: u32,
    }

    /// What was packed must come back bit for bit, at no more than its own size, and half a number must be refused.
    #[test]
    fn packed_numbers_come_back() {
        let saved = Saved { bytes: vec![1, 2, 255], floats: [0.1, -0.0, f32::MAX].into(), rest: 7 };
        let state = State::encode(1, &saved).expect("it can be saved");
        assert_eq!(state.bytes.len(), 1 + 3 + 1 + 12 + 1);
        assert_eq!(state.decode::<Saved>(1).expect("it can be read"), saved);
        let half = State { schema: 1, bytes: vec![0, 2, 0, 0, 7] };
        assert!(half.decode::<Saved>(1).is_err());
    }
}
