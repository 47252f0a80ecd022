//! The outside world of this example: a cloud in memory.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use highwater::prelude::*;

use crate::Machine;

/// A cloud. A clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct Cloud {
    machines: Arc<Mutex<BTreeSet<String>>>,
}

impl Cloud {
    /// The names of the machines there are, sorted.
    pub fn machines(&self) -> Vec<String> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[activities]
impl Cloud {
    /// Makes a machine. One that is there already is the one that was asked for.
    #[activity(start_to_close = "5m")]
    pub async fn create(&self, machine: Machine) -> Result<(), String> {
        println!("cloud      {} is there", machine.name);
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).insert(machine.name);
        Ok(())
    }

    /// Deletes a machine, if it is there.
    #[activity(start_to_close = "5m")]
    pub async fn delete(&self, machine: Machine) -> Result<(), String> {
        println!("cloud      {} is gone", machine.name);
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).remove(&machine.name);
        Ok(())
    }
}
