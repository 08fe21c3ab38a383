//! Turns at something that only a few may do at once, such as hashing a password (S11): sources take turns, so that one that asks
//! much waits behind itself and not others behind it. Owned by [`super::Hasher`].

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
    /// The sources that wait, the next one first, each with its own in their order.
    queues: VecDeque<(Source, VecDeque<oneshot::Sender<Turn>>)>,
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

    /// Waits for a turn. When the queue is full the source that waits most gives way: its last one, or this one.
    pub async fn turn(self: &Arc<Self>, source: Source) -> Result<Turn, Full> {
        let waiting = {
            let mut inner = lock(&self.inner);
            if inner.running < self.at_once {
                inner.running += 1;
                return Ok(Turn(Some(Arc::clone(self))));
            }
            inner.queue(source, self.waiting_max)?
        };
        // Dropped by somebody who asked less: then this one was one too many.
        waiting.await.map_err(|_| Full)
    }
}

impl Inner {
    fn queue(&mut self, source: Source, waiting_max: usize) -> Result<oneshot::Receiver<Turn>, Full> {
        if self.waiting() >= waiting_max {
            self.forget_those_who_left();
        }
        if self.waiting() >= waiting_max {
            let own = self.queues.iter().find(|(other, _)| *other == source).map_or(0, |(_, queue)| queue.len());
            let most = self.queues.iter_mut().max_by_key(|(_, queue)| queue.len()).ok_or(Full)?;
            if most.1.len() <= own + 1 {
                return Err(Full);
            }
            most.1.pop_back();
        }
        let (turn, waiting) = oneshot::channel();
        match self.queues.iter_mut().find(|(other, _)| *other == source) {
            Some((_, queue)) => queue.push_back(turn),
            None => self.queues.push_back((source, VecDeque::from([turn]))),
        }
        Ok(waiting)
    }

    fn waiting(&self) -> usize {
        self.queues.iter().map(|(_, queue)| queue.len()).sum()
    }

    fn forget_those_who_left(&mut self) {
        self.queues.iter_mut().for_each(|(_, queue)| queue.retain(|turn| !turn.is_closed()));
        self.queues.retain(|(_, queue)| !queue.is_empty());
    }

    /// Who is next; his source goes behind the others.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        loop {
            let (source, mut queue) = self.queues.pop_front()?;
            let next = queue.pop_front();
            if !queue.is_empty() {
                self.queues.push_back((source, queue));
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
            asking.spawn(async move { (n, turns.turn(source(n)).await.is_ok()) });
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
        let held = turns.turn(source(9)).await.unwrap();
        let asking = ask(&turns, &[1, 1, 1, 1, 2, 3]).await;
        drop(held);
        let order: Vec<_> = outcome(asking).await.into_iter().map(|(n, _)| n).collect();
        assert_eq!(order, [1, 2, 3, 1, 1, 1], "who asks much waits behind himself");
        assert_eq!(lock(&turns.inner).running, 0);
    }

    #[tokio::test]
    async fn when_full_who_asks_most_gives_way() {
        let turns = Turns::new(1, 4);
        let held = turns.turn(source(9)).await.unwrap();
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
        let (one, two) = (turns.turn(source(1)).await.unwrap(), turns.turn(source(1)).await.unwrap());
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
