//! How state is kept across a restart: a schema number, then postcard bytes.

use serde::{Serialize, de::DeserializeOwned};

/// Why saved bytes are of no use. The answer to each is a cold start, said aloud.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// Written by a version with another layout.
    #[error("saved state has schema {found}, this version reads schema {expected}")]
    Schema {
        /// What the bytes say.
        found: u32,
        /// What this version reads.
        expected: u32,
    },
    /// Cut short, or not what they claim to be.
    #[error("saved state can't be read")]
    Unreadable(#[source] postcard::Error),
    /// Holds numbers that nothing leads to.
    #[error("saved state holds numbers that nothing leads to")]
    Senseless,
}

/// The bytes of `state` under `schema`. Empty, which no reader accepts, if it can't be written: that happens only for types
/// without a known length, of which the engine has none.
#[must_use]
pub fn encode<T: Serialize>(schema: u32, state: &T) -> Vec<u8> {
    postcard::to_allocvec(&(schema, state)).unwrap_or_default()
}

/// The state in `bytes`, if they were written under `schema`.
///
/// # Errors
/// [`SavedError::Schema`] for another schema, [`SavedError::Unreadable`] for anything else that is wrong, bytes left over
/// included.
pub fn decode<T: DeserializeOwned>(schema: u32, bytes: &[u8]) -> Result<T, SavedError> {
    let (found, rest) = postcard::take_from_bytes::<u32>(bytes).map_err(SavedError::Unreadable)?;
    if found != schema {
        return Err(SavedError::Schema { found, expected: schema });
    }
    let (state, rest) = postcard::take_from_bytes::<T>(rest).map_err(SavedError::Unreadable)?;
    if rest.is_empty() { Ok(state) } else { Err(SavedError::Unreadable(postcard::Error::DeserializeBadEncoding)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// State of another layout, or damaged state, must be refused and never be taken for something else.
    #[test]
    fn only_whole_bytes_of_the_same_schema_are_read() {
        let bytes = encode(3, &vec![1u64, 2, 300]);
        assert_eq!(decode::<Vec<u64>>(3, &bytes).ok(), Some(vec![1, 2, 300]));
        assert!(matches!(decode::<Vec<u64>>(4, &bytes), Err(SavedError::Schema { found: 3, expected: 4 })));
        assert!(matches!(decode::<Vec<u64>>(3, &bytes[..bytes.len() - 1]), Err(SavedError::Unreadable(_))));
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(matches!(decode::<Vec<u64>>(3, &longer), Err(SavedError::Unreadable(_))));
        assert!(matches!(decode::<Vec<u64>>(3, &[]), Err(SavedError::Unreadable(_))));
    }
}
