//! What was not yet sent: forwarded requests that were left at a shutdown, and events that an exporter had no room for.

use crate::{Store, StoreError};
use rusqlite::params;

/// Which of the two queues on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lane {
    /// Requests of others, left over at a shutdown.
    Spool,
    /// Foreshock's own events and traces.
    Outbox,
}

impl Lane {
    fn table(self) -> &'static str {
        match self {
            Self::Spool => "spool",
            Self::Outbox => "outbox",
        }
    }
}

/// One request for one exporter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parcel {
    /// Name of the exporter as in the configuration.
    pub exporter: String,
    /// `metrics`, `logs` or `traces`.
    pub signal: String,
    /// How `bytes` are compressed: `identity`, `gzip` or `zstd`.
    pub encoding: String,
    /// Points, records or spans in it.
    pub items: u64,
    /// The request.
    pub bytes: Vec<u8>,
}

/// A parcel that waits, with the number it got. Numbers ascend and are never used twice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Waiting {
    /// Its number.
    pub id: i64,
    /// What waits.
    pub parcel: Parcel,
}

impl Store {
    /// Adds parcels at the end of a lane, all or none, and answers their numbers.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn post(&self, lane: Lane, parcels: &[Parcel]) -> Result<Vec<i64>, StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        let mut ids = Vec::with_capacity(parcels.len());
        {
            let mut insert = transaction.prepare_cached(&format!(
                "INSERT INTO {} (exporter, signal, encoding, items, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
                lane.table()
            ))?;
            for parcel in parcels {
                let items = i64::try_from(parcel.items).unwrap_or(i64::MAX);
                ids.push(insert.insert(params![
                    parcel.exporter,
                    parcel.signal,
                    parcel.encoding,
                    items,
                    parcel.bytes
                ])?);
            }
        }
        transaction.commit()?;
        Ok(ids)
    }

    /// The parcels of a lane whose number is above `after`, oldest first, at most `most` of them.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn waiting(&self, lane: Lane, after: i64, most: usize) -> Result<Vec<Waiting>, StoreError> {
        let connection = self.connection();
        let mut query = connection.prepare_cached(&format!(
            "SELECT id, exporter, signal, encoding, items, bytes FROM {} WHERE id > ?1 ORDER BY id LIMIT ?2",
            lane.table()
        ))?;
        let rows = query.query_map(params![after, i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            Ok(Waiting {
                id: row.get(0)?,
                parcel: Parcel {
                    exporter: row.get(1)?,
                    signal: row.get(2)?,
                    encoding: row.get(3)?,
                    items: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
                    bytes: row.get(5)?,
                },
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Takes parcels off a lane: they were handed on. Numbers that are not there are passed over.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn remove(&self, lane: Lane, ids: &[i64]) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        {
            let mut delete = transaction.prepare_cached(&format!("DELETE FROM {} WHERE id = ?1", lane.table()))?;
            for id in ids {
                delete.execute([id])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// How many parcels wait in a lane and how many bytes they hold.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn backlog(&self, lane: Lane) -> Result<(u64, u64), StoreError> {
        let sql = format!("SELECT COUNT(*), COALESCE(SUM(LENGTH(bytes)), 0) FROM {}", lane.table());
        let (count, bytes): (i64, i64) = self.connection().query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((u64::try_from(count).unwrap_or(0), u64::try_from(bytes).unwrap_or(0)))
    }
}
