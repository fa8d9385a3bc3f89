//! The past as the console shows it: incidents and anomalies as JSON, bounded in number.

use crate::{Store, StoreError};
use rusqlite::{OptionalExtension, params};

/// What a record is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordKind {
    /// An incident.
    Incident,
    /// An anomaly.
    Anomaly,
}

impl RecordKind {
    fn name(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Anomaly => "anomaly",
        }
    }
}

/// One incident or anomaly as it last was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Its id, 16 hexadecimal digits.
    pub id: String,
    /// When it began, nanoseconds since the Unix epoch.
    pub start: u64,
    /// When it last changed, nanoseconds since the Unix epoch.
    pub updated: u64,
    /// JSON.
    pub body: String,
}

impl Store {
    /// Writes records, each in place of one with the same id, and keeps only the `keep` that began last.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn record(&self, kind: RecordKind, records: &[Record], keep: usize) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO record (kind, id, start, updated, body) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            let signed = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
            for record in records {
                insert.execute(params![
                    kind.name(),
                    record.id,
                    signed(record.start),
                    signed(record.updated),
                    record.body
                ])?;
            }
            let mut trim = transaction.prepare_cached(
                "DELETE FROM record WHERE kind = ?1 AND id IN (
                    SELECT id FROM record WHERE kind = ?1 ORDER BY start DESC, id DESC LIMIT -1 OFFSET ?2)",
            )?;
            trim.execute(params![kind.name(), i64::try_from(keep).unwrap_or(i64::MAX)])?;
        }
        Ok(transaction.commit()?)
    }

    /// The records of a kind, the latest start first, at most `most` of them.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn records(&self, kind: RecordKind, most: usize) -> Result<Vec<Record>, StoreError> {
        let connection = self.connection();
        let mut query = connection.prepare_cached(
            "SELECT id, start, updated, body FROM record WHERE kind = ?1 ORDER BY start DESC, id DESC LIMIT ?2",
        )?;
        let rows = query.query_map(params![kind.name(), i64::try_from(most).unwrap_or(i64::MAX)], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One record.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn find_record(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, StoreError> {
        let connection = self.connection();
        let mut query =
            connection.prepare_cached("SELECT id, start, updated, body FROM record WHERE kind = ?1 AND id = ?2")?;
        Ok(query.query_row(params![kind.name(), id], read).optional()?)
    }
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    let unsigned = |time: i64| u64::try_from(time).unwrap_or(0);
    Ok(Record { id: row.get(0)?, start: unsigned(row.get(1)?), updated: unsigned(row.get(2)?), body: row.get(3)? })
}
