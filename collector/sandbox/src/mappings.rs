//! How many models the kernel's limit on memory mappings leaves room for.
//!
//! The kernel counts neighbouring pages with the same protection and origin as one mapping. A model's place in the pool is two: the
//! part of its linear memory that it may touch, and the rest, that nobody may. (A first content that is mapped from a file
//! instead of copied would make it four.) Where the kernel's limit (`vm.max_map_count`, 65,530 on most machines) is used up,
//! every allocation of the process fails, not only the guest's. So the number of models stops short of it.

use std::fs;

/// Mappings that one live model takes; `a_model_takes_two_mappings` in `tests/density.rs` counts them.
const PER_MODEL: u32 = 2;

/// Mappings left for the rest of the process: libraries, threads, heaps. Foreshock without models has some hundred.
const FOR_THE_REST: u32 = 4_096;

/// The most models that this machine has mappings for; no bound where the kernel states no limit.
pub(crate) fn most_models() -> u32 {
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok());
    limit.map_or(u32::MAX, models_within)
}

/// The most models that a limit on mappings leaves room for, 16 or more.
fn models_within(max_map_count: u32) -> u32 {
    (max_map_count.saturating_sub(FOR_THE_REST) / PER_MODEL).max(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Protects the process from its guests: the usual limit must not be reached by models.
    #[test]
    fn models_stop_short_of_the_limit() {
        assert_eq!(models_within(65_530), 30_717);
        assert_eq!(models_within(0), 16);
        assert!(most_models() >= 16);
    }
}
