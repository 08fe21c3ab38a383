//! A disk that tells what is visible from what is durable (contract, fact E1): a kill keeps what is visible, a power cut only
//! what was synced and perhaps some of the rest.

use super::Rng;

/// A disk that holds one state; a commit is atomic.
#[derive(Clone, Debug, Default)]
pub struct Disk<T: Clone> {
    visible: T,
    durable: T,
    /// States after each commit that was not synced yet, oldest first.
    unsynced: Vec<T>,
}

impl<T: Clone> Disk<T> {
    /// What a process reads.
    pub fn read(&self) -> &T {
        &self.visible
    }

    /// What survives everything.
    pub fn durable(&self) -> &T {
        &self.durable
    }

    /// The commit is written, not synced.
    pub fn commit(&mut self, state: T) {
        self.visible = state.clone();
        self.unsynced.push(state);
    }

    /// A sync, or a checkpoint: all that is visible is durable.
    pub fn sync(&mut self) {
        if let Some(last) = self.unsynced.pop() {
            self.durable = last;
            self.unsynced.clear();
        }
    }

    /// Some of what was not synced reached the platter, in its order.
    pub fn power_cut(&mut self, rng: &mut Rng) {
        let kept = rng.below(self.unsynced.len() as u64 + 1) as usize;
        if kept > 0 {
            self.durable = self.unsynced[kept - 1].clone();
        }
        self.visible = self.durable.clone();
        self.unsynced.clear();
    }

    /// An old copy is put back.
    pub fn restore(&mut self, copy: T) {
        *self = Disk { visible: copy.clone(), durable: copy, unsynced: Vec::new() };
    }
}
