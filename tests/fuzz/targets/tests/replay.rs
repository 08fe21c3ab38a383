//! Every input that fuzzing kept, through its target: what was fixed stays fixed, with no nightly toolchain needed.

use std::fs;
use std::path::Path;

use chat_fuzz_targets::TARGETS;

#[test]
fn the_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut total = 0;
    for (name, target) in TARGETS {
        let folder = corpus.join(name);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for file in files {
            let path = file.expect("a folder that can be listed").path();
            let data = fs::read(&path).expect("a file that can be read");
            // named before it runs: a target that panics does not say on which input
            println!("{name} {}", path.display());
            target(&data);
            (count, total) = (count + 1, total + data.len());
        }
        assert!(count > 0, "{name} has no corpus");
    }
    assert!(total < 2 << 20, "the corpus is to stay small: cargo fuzz cmin");
}
