//! Pages of the manual in the language of troff: one for each command, one for the objects of `--json`, one for a table.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::{Command as Process, Stdio};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use crate::format::{Member, Object, Shape};

/// What stands at the foot of a page.
const MANUAL: &str = "Chat Manual";

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its name, as `man` takes it: `chatctl-message`.
    pub name: String,
    /// Its section: 1 commands, 5 files, 7 conventions, 8 for operators.
    pub section: &'static str,
    /// In the language of troff.
    pub roff: String,
}

impl Page {
    /// Shown by the system's reader on a terminal. False: there is no terminal, or no reader.
    pub fn show(&self) -> bool {
        std::io::stdout().is_terminal() && self.read().unwrap_or(false)
    }

    fn read(&self) -> io::Result<bool> {
        let mut reader = Process::new("man").args(["-l", "-"]).stdin(Stdio::piped()).spawn()?;
        let written = reader.stdin.take().map(|mut stdin| stdin.write_all(self.roff.as_bytes()));
        // Who leaves the reader early closes the pipe: the page was shown all the same.
        drop(written);
        Ok(reader.wait()?.success())
    }

    /// Writes it where `man` looks for it under `dir`.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let section = dir.join(format!("man{}", self.section));
        std::fs::create_dir_all(&section)?;
        std::fs::write(section.join(format!("{}.{}", self.name, self.section)), &self.roff)
    }
}

/// A program's commands as pages.
pub struct Manual {
    root: Command,
    section: &'static str,
    also: &'static str,
}

impl Manual {
    /// Of the program that `root` defines; `also` is what every page refers to.
    pub fn new(root: Command, section: &'static str, also: &'static str) -> Manual {
        // clap's own command for help would double every page.
        fn without_help(command: Command) -> Command {
            command.disable_help_subcommand(true).mut_subcommands(without_help)
        }
        let mut root = without_help(root);
        root.build();
        Manual { root, section, also }
    }

    /// A page for the program and for each of its commands; hidden ones have none.
    pub fn pages(&self) -> io::Result<Vec<Page>> {
        let mut pages = Vec::new();
        self.collect(&self.root, self.root.get_name(), &mut pages)?;
        Ok(pages)
    }

    fn collect(&self, command: &Command, name: &str, pages: &mut Vec<Page>) -> io::Result<()> {
        pages.push(self.page(command, name)?);
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            self.collect(inner, &format!("{name}-{}", inner.get_name()), pages)?;
        }
        Ok(())
    }

    /// The help of the command that these words spell, as `--help` prints it.
    pub fn help(&self, words: &[String]) -> Option<String> {
        let mut command = &self.root;
        for word in words {
            command = command.find_subcommand(word).filter(|found| !found.is_hide_set())?;
        }
        Some(command.clone().render_help().to_string())
    }

    /// The flags of every command are explained once, on the program's page.
    fn page(&self, command: &Command, name: &str) -> io::Result<Page> {
        let program = self.root.get_name();
        let first = name == program;
        let usage = command.clone().render_usage().to_string();
        let titled = command.clone().name(name.to_owned()).display_name(name.to_owned());
        let titled = titled.mut_args(|arg| if arg.is_global_set() && !first { arg.hide(true) } else { arg });
        let has_flags = titled.get_arguments().any(|arg| !arg.is_hide_set());
        let has_commands = titled.get_subcommands().any(|inner| !inner.is_hide_set());
        let man = Man::new(titled).title(name.to_uppercase()).section(self.section).manual(MANUAL).date("");
        let mut roff = Vec::new();
        man.render_title(&mut roff)?;
        man.render_name_section(&mut roff)?;
        lines(&mut roff, "SYNOPSIS", usage.trim_start_matches("Usage: "))?;
        man.render_description_section(&mut roff)?;
        if has_flags {
            man.render_options_section(&mut roff)?;
        }
        if has_commands {
            man.render_subcommands_section(&mut roff)?;
        }
        let before = command.get_before_help().map(ToString::to_string).unwrap_or_default();
        if let Some(examples) = before.trim_end().strip_prefix("Examples:\n") {
            lines(&mut roff, "EXAMPLES", examples)?;
        }
        let own = if first { String::new() } else { format!("{program}({}), ", self.section) };
        lines(&mut roff, "SEE ALSO", &format!("{own}{}", self.also))?;
        Ok(Page { name: name.to_owned(), section: self.section, roff: String::from_utf8_lossy(&roff).into_owned() })
    }
}

/// The page that these words mean among `pages`: no words the first one, else a page's name, or the words behind the first one's.
pub fn named<'a>(pages: &'a [Page], words: &[String]) -> Option<&'a Page> {
    let first = pages.first()?;
    let wanted = words.join("-");
    let own = format!("{}-{wanted}", first.name);
    if wanted.is_empty() { Some(first) } else { pages.iter().find(|page| page.name == wanted || page.name == own) }
}

/// A section whose lines stay as they are.
fn lines(page: &mut Vec<u8>, head: &str, text: &str) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [head]);
    roff.control("nf", []);
    roff.text([roman(text.to_owned())]);
    roff.control("fi", []);
    roff.to_writer(page)
}

/// A page that stands for no command.
fn begin(name: &str, section: &str, about: &str) -> Roff {
    let mut roff = Roff::new();
    let source = concat!("chat ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", [name.to_uppercase().as_str(), section, "", source, MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {about}"))]);
    roff
}

fn item(roff: &mut Roff, term: Vec<Inline>, about: &str) {
    roff.control("TP", []);
    roff.text(term);
    roff.text([roman(about.to_owned())]);
}

/// A page of section 7 with one table: terms and what they mean.
pub fn table<'a>(name: &str, about: &str, head: &str, rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> Page {
    let mut roff = begin(name, "7", about);
    roff.control("SH", [head]);
    for (term, meaning) in rows {
        item(&mut roff, vec![bold(term)], meaning);
    }
    Page { name: name.to_owned(), section: "7", roff: roff.to_roff() }
}

/// A page of section 5 that shows a configuration file with its comments.
pub fn file(name: &str, about: &str, description: &str, text: &str) -> Page {
    let mut roff = begin(name, "5", about);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(description.to_owned())]);
    roff.control("SH", ["KEYS AND DEFAULTS"]);
    roff.control("nf", []);
    roff.text([roman(text.to_owned())]);
    roff.control("fi", []);
    Page { name: name.to_owned(), section: "5", roff: roff.to_roff() }
}

/// A page of section 7 with the objects of `--json`.
pub fn objects(name: &str, about: &str, objects: &[Object]) -> Page {
    let mut roff = begin(name, "7", about);
    roff.control("SH", ["DESCRIPTION"]);
    let text = "Every object has v (1) and type. Lists have items. Times are RFC 3339 in UTC with milliseconds, ids are opaque. Fields are \
                only added. Members in brackets are not in every object of the type. The command schema prints the same as JSON Schema.";
    roff.text([roman(text)]);
    for Object { name, about, members } in objects {
        roff.control("SH", [*name]);
        roff.text([roman(*about)]);
        members_of(&mut roff, members);
    }
    Page { name: name.to_owned(), section: "7", roff: roff.to_roff() }
}

fn members_of(roff: &mut Roff, members: &[Member]) {
    for member in members {
        let name = if member.always { member.name.to_owned() } else { format!("[{}]", member.name) };
        let about = match member.about {
            "" => member.shape.words(),
            about => format!("{about} ({})", member.shape.words()),
        };
        item(roff, vec![bold(name)], &about);
        if let Some(inner) = inside(member.shape) {
            roff.control("RS", []);
            members_of(roff, inner);
            roff.control("RE", []);
        }
    }
}

fn inside(shape: Shape) -> Option<&'static [Member]> {
    match shape {
        Shape::Members(members) => Some(members),
        Shape::Maybe(inner) | Shape::List(inner) => inside(*inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::member;
    use clap::{Arg, ArgAction};

    fn manual() -> Manual {
        let quiet = Arg::new("quiet").long("quiet").global(true).action(ArgAction::SetTrue);
        let wait = Arg::new("wait").long("wait").value_name("STATE").help("Wait that far");
        let send = Command::new("send").about("Send it").arg(wait).before_help("Examples:\n  prog send 'x'\n");
        let secret = Command::new("secret").hide(true);
        Manual::new(Command::new("prog").about("A program").arg(quiet).subcommands([send, secret]), "1", "other(7)")
    }

    #[test]
    fn every_command_has_a_page() {
        let pages = manual().pages().expect("pages");
        assert_eq!(pages.iter().map(|page| page.name.as_str()).collect::<Vec<_>>(), ["prog", "prog-send"]);
        assert!(pages[0].roff.contains("prog\\-send(1)") && pages[0].roff.contains("\\-\\-quiet"));
        let send = &pages[1].roff;
        assert!(
            send.contains("\\-\\-wait") && send.contains("EXAMPLES") && send.contains("prog(1), other(7)"),
            "{send}"
        );
        assert!(!send.contains("\\-\\-quiet"), "the flags of every command are on the first page: {send}");
    }

    #[test]
    fn pages_are_found_as_people_name_them() {
        let pages = manual().pages().expect("pages");
        let found = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            named(&pages, &words).map(|page| page.name.clone())
        };
        assert_eq!(found(&[]).as_deref(), Some("prog"));
        assert_eq!(found(&["send"]).as_deref(), Some("prog-send"));
        assert_eq!(found(&["prog-send"]).as_deref(), Some("prog-send"));
        assert_eq!(found(&["secret"]), None);
        assert!(manual().help(&["send".to_owned()]).is_some_and(|text| text.contains("--wait")));
        assert!(manual().help(&["secret".to_owned()]).is_none());
    }

    #[test]
    fn objects_are_told_with_what_is_inside() {
        const INNER: &[Member] = &[member("user", Shape::Text, "who")];
        const OBJECT: Object = Object {
            name: "people",
            about: "a list",
            members: &[member("items", Shape::List(&Shape::Members(INNER)), "")],
        };
        let page = objects("chat-x", "objects", &[OBJECT]);
        assert!(page.roff.contains("\\fBuser\\fR") && page.section == "7");
        let dir = tempfile::tempdir().expect("a directory");
        page.write(dir.path()).expect("written");
        assert!(dir.path().join("man7/chat-x.7").is_file());
    }
}
