//! The places that trunks have for calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::busy::Busy;
use crate::clock;
use crate::config::TrunkConfig;
use crate::meters;
use crate::switch::{TrunkBusy, TrunkLimits, TrunkLoad, Way};

/// What each trunk carries, by its name.
#[derive(Debug)]
pub struct TrunkLoads {
    loads: Mutex<HashMap<String, TrunkLoad>>,
}

/// A call's place on a trunk. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct TrunkPlace {
    loads: Arc<TrunkLoads>,
    trunk: String,
}

impl TrunkLoads {
    /// Makes trunks without calls.
    pub(super) fn new(trunks: &[TrunkConfig]) -> Arc<Self> {
        let load = |trunk: &TrunkConfig| {
            let limits = TrunkLimits {
                max_calls: trunk.max_calls,
                max_cps: trunk.max_cps,
                max_cps_in: trunk.max_cps_in,
            };
            (trunk.name.clone(), TrunkLoad::new(limits))
        };
        Arc::new(Self {
            loads: Mutex::new(trunks.iter().map(load).collect()),
        })
    }

    /// Takes a place on a trunk.
    ///
    /// # Errors
    /// When it carries, or begins, as many calls as it may.
    pub(super) fn take(self: &Arc<Self>, trunk: &str, way: Way) -> Result<TrunkPlace, Busy> {
        if let Some(load) = self.loads().get_mut(trunk) {
            load.begin(clock::now(), way).map_err(|busy| match busy {
                TrunkBusy::Full(max) => {
                    meters::trunk_refused(trunk, way, "max_calls");
                    Busy::TrunkFull(trunk.to_owned(), max)
                }
                TrunkBusy::Fast(max) => {
                    meters::trunk_refused(trunk, way, "max_cps");
                    Busy::TrunkFast(trunk.to_owned(), max, way)
                }
            })?;
        }
        meters::trunk_took(trunk, way);
        Ok(TrunkPlace {
            loads: Arc::clone(self),
            trunk: trunk.to_owned(),
        })
    }

    /// How many calls a trunk carries.
    #[must_use]
    pub fn calls(&self, trunk: &str) -> u32 {
        self.loads().get(trunk).map_or(0, TrunkLoad::calls)
    }

    fn loads(&self) -> MutexGuard<'_, HashMap<String, TrunkLoad>> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TrunkPlace {
    fn drop(&mut self) {
        if let Some(load) = self.loads.loads().get_mut(&self.trunk) {
            load.end();
        }
    }
}
