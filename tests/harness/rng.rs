//! The seeded generator of every random choice in a test; its seed is printed when a test fails.

/// SplitMix64: small, good enough to pick victims and texts, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
    seed: u64,
}

impl Rng {
    /// A generator that repeats the run with this seed.
    pub fn new(seed: u64) -> Rng {
        Rng { state: seed, seed }
    }

    /// Seeded by `CHAT_SEED`, else by the system.
    pub fn from_environment() -> Rng {
        let given = std::env::var("CHAT_SEED").ok().and_then(|text| text.parse().ok());
        Rng::new(given.unwrap_or_else(|| getrandom::u64().expect("the system gives random bytes") >> 1))
    }

    /// What it began with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let index = self.below(items.len() as u64) as usize;
        &items[index]
    }
}
