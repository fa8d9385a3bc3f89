//! What was learned: opaque bytes by kind, service and key.

use crate::{Store, StoreError};
use rusqlite::params;

/// One piece of what was learned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// Which part of the program wrote it, for instance `ingest` or `correlator`.
    pub kind: String,
    /// Whose it is, as `namespace/name` or `name`; empty if it belongs to no service.
    pub service: String,
    /// Tells several of one kind and service apart, for instance a detector's name; may be empty.
    pub key: String,
    /// Version of the layout of `bytes`, known to the writer.
    pub schema: u32,
    /// Opaque.
    pub bytes: Vec<u8>,
    /// When it was written, nanoseconds since the Unix epoch.
    pub updated: u64,
}

impl Store {
    /// Writes all of `states`, each in place of one with the same kind, service and key: all of them, or on an error none.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn save_states(&self, states: &[State]) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO state (kind, service, key, schema, bytes, updated) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for state in states {
                let updated = i64::try_from(state.updated).unwrap_or(i64::MAX);
                insert.execute(params![state.kind, state.service, state.key, state.schema, state.bytes, updated])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// All states, ordered by kind, service and key.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn states(&self) -> Result<Vec<State>, StoreError> {
        let connection = self.connection();
        let mut query = connection.prepare_cached(
            "SELECT kind, service, key, schema, bytes, updated FROM state ORDER BY kind, service, key",
        )?;
        let rows = query.query_map([], |row| {
            Ok(State {
                kind: row.get(0)?,
                service: row.get(1)?,
                key: row.get(2)?,
                schema: row.get(3)?,
                bytes: row.get(4)?,
                updated: u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets everything that was learned about these services.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn forget_services(&self, services: &[String]) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        {
            let mut delete = transaction.prepare_cached("DELETE FROM state WHERE service = ?1 AND service <> ''")?;
            for service in services {
                delete.execute([service])?;
            }
        }
        Ok(transaction.commit()?)
    }
}
