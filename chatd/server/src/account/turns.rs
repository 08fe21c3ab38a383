//! Turns at something that only a few may do at once, such as hashing a password (S11): sources take turns, so that one that asks
//! much waits behind itself and not others behind it. Owned by [`super::Hasher`] and, one for each name, by [`super::tries`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::source::Source;
use crate::sync::lock;

/// Who does it, and who waits.
#[derive(Debug)]
pub struct Turns {
    at_once: usize,
    waiting_max: usize,
    // Short lock: taken once to queue and once to pass a turn on.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    running: usize,
    /// The sources that wait, the next one first: by rank, and those of one rank in turn.
    queues: VecDeque<Queue>,
}

/// The turns that a source waits for, in their order.
#[derive(Debug)]
struct Queue {
    source: Source,
    rank: u32,
    turns: VecDeque<oneshot::Sender<Turn>>,
}

/// A turn; passed on when dropped.
#[derive(Debug)]
pub struct Turn(Option<Arc<Turns>>);

/// As many wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Turns {
    /// So many at once, so many that wait.
    pub fn new(at_once: usize, waiting_max: usize) -> Arc<Turns> {
        Arc::new(Turns { at_once, waiting_max, inner: Mutex::default() })
    }

    /// How many do it or wait for it.
    pub fn busy(&self) -> usize {
        let inner = lock(&self.inner);
        inner.running + inner.waiting()
    }

    /// Waits for a turn, behind the sources of a lower rank and in turn with those of the same. When the queue is full the source that
    /// waits most gives way: its last one, or this one.
    pub async fn turn(self: &Arc<Self>, source: Source, rank: u32) -> Result<Turn, Full> {
        let waiting = {
            let mut inner = lock(&self.inner);
            if inner.running < self.at_once {
                inner.running += 1;
                return Ok(Turn(Some(Arc::clone(self))));
            }
            inner.queue(source, rank, self.waiting_max)?
        };
        // Dropped by somebody who asked less: then this one was one too many.
        waiting.await.map_err(|_| Full)
    }
}

impl Inner {
    fn queue(&mut self, source: Source, rank: u32, waiting_max: usize) -> Result<oneshot::Receiver<Turn>, Full> {
        if self.waiting() >= waiting_max {
            self.forget_those_who_left();
        }
        if self.waiting() >= waiting_max {
            let own = self.queues.iter().find(|queue| queue.source == source).map_or(0, |queue| queue.turns.len());
            let most = self.queues.iter_mut().max_by_key(|queue| queue.turns.len()).ok_or(Full)?;
            if most.turns.len() <= own + 1 {
                return Err(Full);
            }
            most.turns.pop_back();
        }
        let (turn, waiting) = oneshot::channel();
        match self.queues.iter_mut().find(|queue| queue.source == source) {
            Some(queue) => queue.turns.push_back(turn),
            None => self.line_up(Queue { source, rank, turns: VecDeque::from([turn]) }),
        }
        Ok(waiting)
    }

    /// Behind all whose rank is not higher.
    fn line_up(&mut self, queue: Queue) {
        let place = self.queues.partition_point(|other| other.rank <= queue.rank);
        self.queues.insert(place, queue);
    }

    fn waiting(&self) -> usize {
        self.queues.iter().map(|queue| queue.turns.len()).sum()
    }

    fn forget_those_who_left(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.turns.retain(|turn| !turn.is_closed()));
        self.queues.retain(|queue| !queue.turns.is_empty());
    }

    /// Who is next; his source goes behind the others.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        loop {
            let mut queue = self.queues.pop_front()?;
            let next = queue.turns.pop_front();
            if !queue.turns.is_empty() {
                self.line_up(queue);
            }
            // One that gave way to others may have left nobody behind.
            if next.is_some() {
                return next;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        loop {
            let next = {
                let mut inner = lock(&turns.inner);
                let next = inner.next();
                inner.running -= usize::from(next.is_none());
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn(Some(Arc::clone(&turns)))) {
                Ok(()) => return,
                // He left; the turn is still this one's to pass on.
                Err(mut unused) => unused.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::task::JoinSet;

    fn source(n: u32) -> Source {
        Source::of(Ipv4Addr::from(n).into())
    }

    /// Asks for turns one after the other, in this order.
    async fn ask(turns: &Arc<Turns>, sources: &[u32]) -> JoinSet<(u32, bool)> {
        let mut asking = JoinSet::new();
        for n in sources.iter().copied() {
            let turns = Arc::clone(turns);
            asking.spawn(async move { (n, turns.turn(source(n), 0).await.is_ok()) });
            tokio::task::yield_now().await;
        }
        asking
    }

    async fn outcome(mut asking: JoinSet<(u32, bool)>) -> Vec<(u32, bool)> {
        let mut outcome = Vec::new();
        while let Some(done) = asking.join_next().await {
            outcome.push(done.unwrap());
        }
        outcome
    }

    #[tokio::test]
    async fn sources_take_turns() {
        let turns = Turns::new(1, 64);
        let held = turns.turn(source(9), 0).await.unwrap();
        let asking = ask(&turns, &[1, 1, 1, 1, 2, 3]).await;
        drop(held);
        let order: Vec<_> = outcome(asking).await.into_iter().map(|(n, _)| n).collect();
        assert_eq!(order, [1, 2, 3, 1, 1, 1], "who asks much waits behind himself");
        assert_eq!(lock(&turns.inner).running, 0);
    }

    #[tokio::test]
    async fn a_lower_rank_goes_first_and_equal_ones_in_turn() {
        let turns = Turns::new(1, 64);
        let held = turns.turn(source(9), 0).await.unwrap();
        let mut asking = JoinSet::new();
        for (n, rank) in [(1, 5), (1, 5), (2, 5), (3, 0), (4, 2), (5, 0)] {
            let turns = Arc::clone(&turns);
            asking.spawn(async move { (n, turns.turn(source(n), rank).await.is_ok()) });
            tokio::task::yield_now().await;
        }
        drop(held);
        let order: Vec<_> = outcome(asking).await.into_iter().map(|(n, _)| n).collect();
        assert_eq!(order, [3, 5, 4, 1, 2, 1]);
    }

    #[tokio::test]
    async fn when_full_who_asks_most_gives_way() {
        let turns = Turns::new(1, 4);
        let held = turns.turn(source(9), 0).await.unwrap();
        let asking = ask(&turns, &[1, 1, 1, 1, 1, 2, 3, 3, 4]).await;
        drop(held);
        let mut outcome = outcome(asking).await;
        outcome.sort_unstable();
        let refused = outcome.iter().filter(|(_, got)| !got).map(|(n, _)| *n).collect::<Vec<_>>();
        assert_eq!(refused, [1, 1, 1, 1, 3], "the flood first, and nobody beyond his share");
    }

    #[tokio::test]
    async fn turns_of_those_who_left_are_not_lost() {
        let turns = Turns::new(2, 4);
        let (one, two) = (turns.turn(source(1), 0).await.unwrap(), turns.turn(source(1), 0).await.unwrap());
        let left = ask(&turns, &[2, 2, 2, 2]).await;
        drop(left);
        tokio::task::yield_now().await;
        let asking = ask(&turns, &[3]).await;
        drop((one, two));
        assert_eq!(outcome(asking).await, [(3, true)]);
        let inner = lock(&turns.inner);
        assert_eq!((inner.running, inner.waiting()), (0, 0));
    }
}
