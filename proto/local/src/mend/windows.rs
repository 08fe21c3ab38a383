//! Commands of Windows' command prompt. A name is quoted already.

pub fn private(name: &str) -> String {
    format!("icacls {name} /inheritance:r /grant:r \"%USERNAME%:(OI)(CI)F\"")
}

pub fn owned(name: &str) -> String {
    format!("takeown /f {name}")
}

pub fn aside(name: &str) -> String {
    format!("move {name} {name}.old")
}

pub fn look(name: &str) -> String {
    format!("icacls {name}")
}
