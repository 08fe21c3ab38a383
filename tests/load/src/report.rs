//! The figures: medians with their spread beside what they must be, as a table or as JSON.

use serde::Serialize;

/// What a figure is held against.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Goal {
    /// It must not be worse.
    pub must: Option<f64>,
    /// It could be this.
    pub aim: Option<f64>,
    /// More is better.
    pub more: bool,
}

/// A figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The row of the targets that it belongs to.
    pub row: &'static str,
    /// What was measured.
    pub what: String,
    /// In which unit.
    pub unit: &'static str,
    /// One value for each repetition.
    pub values: Vec<f64>,
    /// What it is held against.
    pub goal: Goal,
    /// Flush time of the disk before and after, microseconds.
    pub flush_us: (f64, f64),
    /// What else the reader should know.
    pub note: String,
}

impl Figure {
    fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn spread(&self) -> (f64, f64) {
        let low = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        (low, self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }

    fn met(&self) -> &'static str {
        let reaches = |goal: f64| if self.goal.more { self.median() >= goal } else { self.median() <= goal };
        match (self.goal.must, self.goal.aim) {
            (_, Some(aim)) if reaches(aim) => "aim",
            (Some(must), _) if reaches(must) => "must",
            (Some(_), _) => "MISSED",
            _ => "",
        }
    }
}

/// All figures of a run.
pub struct Report {
    json: bool,
    figures: Vec<Figure>,
}

impl Report {
    /// An empty one.
    pub fn new(json: bool) -> Report {
        Report { json, figures: Vec::new() }
    }

    /// Takes a figure; as JSON it is printed at once, so that an interrupted run has given something.
    pub fn add(&mut self, figure: Figure) {
        if self.json {
            let (min, max) = figure.spread();
            let mut line = serde_json::json!(figure);
            line["median"] = figure.median().into();
            line["min"] = min.into();
            line["max"] = max.into();
            line["met"] = figure.met().into();
            println!("{line}");
        } else {
            eprintln!("{}", line(&figure));
        }
        self.figures.push(figure);
    }

    /// The table.
    pub fn print(&self) {
        if self.json {
            return;
        }
        println!("| row | measure | median | min - max | n | must | aim | met | flush before/after us | note |");
        println!("|---|---|---|---|---|---|---|---|---|---|");
        self.figures.iter().for_each(|figure| println!("{}", line(figure)));
    }
}

fn line(f: &Figure) -> String {
    let (min, max) = f.spread();
    let goal = |goal: Option<f64>| goal.map(show).unwrap_or_default();
    format!(
        "| {} | {}, {} | {} | {} - {} | {} | {} | {} | {} | {:.0} / {:.0} | {} |",
        f.row,
        f.what,
        f.unit,
        show(f.median()),
        show(min),
        show(max),
        f.values.len(),
        goal(f.goal.must),
        goal(f.goal.aim),
        f.met(),
        f.flush_us.0,
        f.flush_us.1,
        f.note
    )
}

/// Three digits are as many as such figures hold.
fn show(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
