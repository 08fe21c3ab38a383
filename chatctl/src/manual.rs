//! The manual: pages made of the same definitions as `--help`, as `help exit-codes` and as `schema`. Printed by `man`, and written into
//! a directory for packages.

use std::io;
use std::path::Path;

use chat_proto::format::{Member, Object, Shape};
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use crate::exit::Exit;
use crate::schema::OBJECTS;

/// Page of the objects.
const JSON: &str = "chat-json";
/// Page of the exit codes.
const EXIT_CODES: &str = "chat-exit-codes";
/// What stands at the foot of a page.
const MANUAL: &str = "Chat Manual";

/// A page of the manual.
pub struct Page {
    /// Its name, as `man` takes it: `chatctl-message`.
    pub name: String,
    /// Its section.
    pub section: &'static str,
    /// In the language of troff.
    pub roff: Vec<u8>,
}

/// The page that these words mean: none for the first one, a command with its words, or a page by its name.
pub fn page(words: &[String]) -> io::Result<Option<Page>> {
    match words {
        [] => Ok(Some(of_command(&root(), "chatctl")?)),
        [one] if one == JSON => json().map(Some),
        [one] if one == EXIT_CODES => exit_codes().map(Some),
        words => {
            let words = words.iter().flat_map(|word| word.split('-'));
            let mut words: Vec<&str> = words.collect();
            if words.first() == Some(&"chatctl") {
                words.remove(0);
            }
            let root = root();
            match find(&root, &words) {
                Some(command) => of_command(command, &name_of(&words)).map(Some),
                None => Ok(None),
            }
        }
    }
}

/// Every page.
pub fn pages() -> io::Result<Vec<Page>> {
    let mut pages = vec![json()?, exit_codes()?];
    collect(&root(), "chatctl", &mut pages)?;
    Ok(pages)
}

/// Writes every page where `man` looks for it under `dir`.
pub fn write(dir: &Path) -> io::Result<usize> {
    let pages = pages()?;
    for page in &pages {
        let section = dir.join(format!("man{}", page.section));
        std::fs::create_dir_all(&section)?;
        std::fs::write(section.join(format!("{}.{}", page.name, page.section)), &page.roff)?;
    }
    Ok(pages.len())
}

fn root() -> Command {
    let mut root = crate::args::command();
    root.build();
    root
}

fn name_of(words: &[&str]) -> String {
    std::iter::once("chatctl").chain(words.iter().copied()).collect::<Vec<_>>().join("-")
}

/// The command that the words spell, hidden ones left out.
pub fn find<'a>(root: &'a Command, words: &[&str]) -> Option<&'a Command> {
    words.iter().try_fold(root, |command, word| command.find_subcommand(word).filter(|found| !found.is_hide_set()))
}

fn collect(command: &Command, name: &str, pages: &mut Vec<Page>) -> io::Result<()> {
    pages.push(of_command(command, name)?);
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        collect(inner, &format!("{name}-{}", inner.get_name()), pages)?;
    }
    Ok(())
}

/// The flags of every command are explained once, on the first page.
fn of_command(command: &Command, name: &str) -> io::Result<Page> {
    let first = name == "chatctl";
    let usage = command.clone().render_usage().to_string();
    let titled = command.clone().name(name.to_owned()).display_name(name.to_owned());
    let titled = titled.mut_args(|arg| if arg.is_global_set() && !first { arg.hide(true) } else { arg });
    let has_flags = titled.get_arguments().any(|arg| !arg.is_hide_set());
    let has_commands = titled.get_subcommands().any(|inner| !inner.is_hide_set());
    let man = Man::new(titled).title(name.to_uppercase()).manual(MANUAL).date("");
    let mut roff = Vec::new();
    man.render_title(&mut roff)?;
    man.render_name_section(&mut roff)?;
    section(&mut roff, "SYNOPSIS", usage.trim_start_matches("Usage: "))?;
    man.render_description_section(&mut roff)?;
    if has_flags {
        man.render_options_section(&mut roff)?;
    }
    if has_commands {
        man.render_subcommands_section(&mut roff)?;
    }
    let before = command.get_before_help().map(ToString::to_string).unwrap_or_default();
    if let Some(examples) = before.trim_end().strip_prefix("Examples:\n") {
        section(&mut roff, "EXAMPLES", examples)?;
    }
    let also = if first { "chat-exit-codes(7), chat-json(7)" } else { "chatctl(1), chat-exit-codes(7), chat-json(7)" };
    section(&mut roff, "SEE ALSO", also)?;
    Ok(Page { name: name.to_owned(), section: "1", roff })
}

/// A section whose lines stay as they are.
fn section(page: &mut Vec<u8>, head: &str, text: &str) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [head]);
    roff.control("nf", []);
    roff.text([roman(text.to_owned())]);
    roff.control("fi", []);
    roff.to_writer(page)
}

/// A page of section 7 with its head.
fn begin(name: &str, about: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("TH", [name.to_uppercase().as_str(), "7", "", concat!("chat ", env!("CARGO_PKG_VERSION")), MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {about}"))]);
    roff
}

fn end(roff: &Roff, name: &str) -> io::Result<Page> {
    let mut text = Vec::new();
    roff.to_writer(&mut text)?;
    Ok(Page { name: name.to_owned(), section: "7", roff: text })
}

fn item(roff: &mut Roff, term: Vec<Inline>, about: &str) {
    roff.control("TP", []);
    roff.text(term);
    roff.text([roman(about.to_owned())]);
}

fn exit_codes() -> io::Result<Page> {
    let mut roff = begin(EXIT_CODES, "what the numbers mean that chatctl and chat-server end with");
    roff.control("SH", ["EXIT CODES"]);
    for exit in Exit::ALL {
        item(&mut roff, vec![bold(exit.number().to_string())], exit.meaning());
    }
    end(&roff, EXIT_CODES)
}

fn json() -> io::Result<Page> {
    let mut roff = begin(JSON, "the objects of chatctl --json, format 1");
    roff.control("SH", ["DESCRIPTION"]);
    let text = "Every object has v (1) and type. Lists have items. Times are RFC 3339 in UTC with milliseconds, ids are opaque. Fields are \
                only added. Members in brackets are not in every object of the type. chatctl schema prints the same as JSON Schema.";
    roff.text([roman(text)]);
    for Object { name, about, members } in OBJECTS {
        roff.control("SH", [*name]);
        roff.text([roman(*about)]);
        members_of(&mut roff, members);
    }
    end(&roff, JSON)
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

    #[test]
    fn every_command_has_a_page_with_its_flags() {
        let pages = pages().expect("pages");
        let text = |name: &str| {
            let page = pages.iter().find(|page| page.name == name).unwrap_or_else(|| panic!("no page {name}"));
            String::from_utf8(page.roff.clone()).expect("UTF-8")
        };
        assert!(text("chatctl").contains("chatctl\\-message(1)"));
        assert!(text("chatctl-message").contains("\\-\\-wait") && text("chatctl-message").contains("EXAMPLES"));
        assert!(text("chatctl-daemon-logs").contains("\\-\\-follow"));
        assert!(text("chat-json").contains("recipient_online"));
        assert!(text("chat-exit-codes").contains("130"));
    }

    #[test]
    fn pages_are_found_as_people_name_them() {
        let named = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            page(&words).expect("a page").map(|page| page.name)
        };
        assert_eq!(named(&[]).as_deref(), Some("chatctl"));
        assert_eq!(named(&["daemon", "logs"]).as_deref(), Some("chatctl-daemon-logs"));
        assert_eq!(named(&["chatctl-daemon-logs"]).as_deref(), Some("chatctl-daemon-logs"));
        assert_eq!(named(&["chat-json"]).as_deref(), Some("chat-json"));
        assert_eq!(named(&["nonsense"]), None);
    }
}
