//! A short slice of the row `attack`: honest users lose nothing while others attack, and hardly wait.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// Milliseconds below which a delivery is quick, whatever it is compared with: a machine that does other things too has such.
const QUICK_MS: f64 = 100.0;

#[test]
fn s20_s21_honest_users_are_served_while_others_attack() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_chat-load"));
    let bin_dir = std::env::var_os("CHAT_BIN_DIR").map(PathBuf::from);
    let bin_dir = bin_dir.unwrap_or_else(|| program.parent().unwrap().to_owned());
    let server = bin_dir.join("chat-server");
    assert!(server.exists(), "{} is not built: cargo build -p chat-server", server.display());
    let run = Command::new(&program)
        .args(["attack", "--reps", "3", "--secs", "1.5", "--json", "--bin-dir"])
        .arg(&bin_dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    let figures: Vec<Value> =
        String::from_utf8(run.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The least disturbed of the repetitions: what an attack costs it costs in each, what else the machine does it does in some.
    let least = |figure: &Value| figure["min"].as_f64().unwrap();
    let of_unit = |unit: &'static str| figures.iter().filter(move |figure| figure["unit"] == unit);
    assert_eq!(of_unit("messages").map(least).collect::<Vec<_>>(), [0.0], "nothing is lost");
    assert_eq!(of_unit("ms").count(), 4, "{figures:?}");
    for (times, ms) in of_unit("times calm").zip(of_unit("ms")) {
        assert!(least(times) < 2.0 || least(ms) < QUICK_MS, "{}: {times} {ms}", ms["what"]);
        assert!(least(ms) <= 250.0, "{ms}");
    }
}
