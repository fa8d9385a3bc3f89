//! What a model costs the process beside its memory.

#![expect(clippy::unwrap_used, reason = "these are tests, their helper functions too")]

mod support;

use foreshock_engine::verdict::Detectors;
use foreshock_sandbox::{Sandbox, Settings};
use std::sync::Arc;
use support::{Feed, chaos, pool};

/// Memory mappings of this process; `None` where the kernel does not say.
fn mappings() -> Option<usize> {
    Some(std::fs::read_to_string("/proc/self/maps").ok()?.lines().count())
}

/// Holds the sandbox to the number of models that it says the kernel has room for: two mappings a model, while it lives, after
/// its memory grew, and when its place is used again by another.
#[test]
fn a_model_takes_two_mappings() {
    const MODELS: usize = 200;
    /// Other threads and the allocator may map something meanwhile, but not for each model.
    const SLACK: usize = 50;
    // In both layouts of memory: with address space for unchecked accesses, and for so many models that there is not enough.
    for max_models in [1_000, 30_000] {
        let sandbox = Arc::new(Sandbox::new(Settings { max_models, ..Settings::default() }).unwrap());
        let detector = chaos(&sandbox, "chaos", "nothing");
        let mut pool = pool(&sandbox, std::slice::from_ref(&detector), 1);
        let Some(before) = mappings() else { return };
        for round in 0..3 {
            let mut feeds: Vec<Feed> = (0..MODELS).map(|number| Feed::new(&format!("{round}-{number}"))).collect();
            for feed in &mut feeds {
                assert_eq!(pool.observe(&feed.window(&[(1, 1.0)])).len(), 1);
            }
            let taken = mappings().unwrap().saturating_sub(before);
            assert!(taken <= 2 * MODELS + SLACK, "{MODELS} of {max_models} models take {taken} mappings");
            for feed in feeds.iter().step_by(2) {
                pool.forget(&feed.service);
            }
            for feed in feeds.iter().skip(1).step_by(2) {
                pool.forget(&feed.service);
            }
        }
    }
}
