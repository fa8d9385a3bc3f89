//! What a pool keeps of a service across restarts.

use foreshock_engine::window::Series;
use serde::{Deserialize, Serialize};

/// All that the detectors of one service have learned.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ServiceState {
    /// The series that were open, in ascending order of the id. They are announced anew to every model that is opened from
    /// this state.
    pub series: Vec<Series>,
    /// What each detector learned, in the order of the configuration. A detector that has no good snapshot is left out.
    pub models: Vec<SavedModel>,
}

/// What one detector learned about one service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedModel {
    /// The detector's name in the configuration.
    pub detector: String,
    /// The name it gives itself. A state is only offered to a detector that has both names.
    pub module: String,
    /// SHA-256 of the component that wrote it, 64 hexadecimal digits. Another version may still read it; it says so by itself.
    pub digest: String,
    /// Hash of the configuration and the length of a window. A state that was learned under others is not offered at a start. (Where a
    /// running detector is configured anew, its model's state is: see [`DetectorPool::replace`](crate::DetectorPool::replace).)
    pub config_hash: u64,
    /// `state.schema`.
    pub schema: u32,
    /// `state.bytes`.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}
