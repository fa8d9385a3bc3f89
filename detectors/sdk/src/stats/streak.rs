//! Owns when odd windows become a finding: persistence, a little patience at the end, and quiet afterwards.

use serde::{Deserialize, Serialize};

/// Windows below the threshold that end a streak.
const END_WINDOWS: u32 = 2;

/// How long a series has been odd.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Streak {
    odd: u32,
    calm: u32,
    refractory: u32,
    told: bool,
}

impl Streak {
    /// Takes one window; says whether there is something to tell: the series is odd, and was for `persistence` windows that
    /// were not two calm ones apart. For `refractory` windows after the end of what was told, twice as many are asked for.
    pub fn step(&mut self, is_odd: bool, persistence: u32, refractory: u32) -> bool {
        if is_odd {
            (self.odd, self.calm) = (self.odd.saturating_add(1), 0);
            let needed = if self.refractory > 0 { persistence.saturating_mul(2) } else { persistence };
            self.told |= self.odd >= needed;
            return self.told;
        }
        self.refractory = self.refractory.saturating_sub(1);
        if self.odd > 0 {
            self.calm += 1;
            if self.calm >= END_WINDOWS {
                let refractory = if self.told { refractory } else { self.refractory };
                *self = Self { refractory, ..Self::default() };
            }
        }
        false
    }

    /// Odd windows of this streak so far; 0 in calm times.
    #[must_use]
    pub fn odd(&self) -> u32 {
        self.odd
    }

    /// Whether this streak was told.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One odd window is nothing, two are; one calm window does not end it, two do; afterwards more is asked for.
    #[test]
    fn a_streak_needs_persistence_and_has_patience() {
        let mut streak = Streak::default();
        let odd = [1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 1];
        let told: Vec<u8> = odd.iter().map(|odd| u8::from(streak.step(*odd == 1, 2, 3))).collect();
        assert_eq!(told, [0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1]);
    }
}
