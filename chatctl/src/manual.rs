//! The manual of chatctl: pages made of the same definitions as `--help`, as `help exit-codes` and as `schema`.

use std::io;

use chat_manual::pages::{self, Manual, Page};

use crate::exit::Exit;
use crate::schema::OBJECTS;

/// The commands.
pub fn commands() -> Manual {
    Manual::new(crate::args::command(), "1", "chat-exit-codes(7), chat-json(7)")
}

/// Every page, chatctl's own first.
pub fn all() -> io::Result<Vec<Page>> {
    let mut all = commands().pages()?;
    let codes: Vec<_> = Exit::ALL.iter().map(|exit| (exit.number().to_string(), exit.meaning())).collect();
    let codes = codes.iter().map(|(number, meaning)| (number.as_str(), *meaning));
    all.push(pages::table(
        "chat-exit-codes",
        "what the numbers mean that chatctl and chat-server end with",
        "EXIT CODES",
        codes,
    ));
    all.push(pages::objects("chat-json", "the objects of chatctl --json, format 1", OBJECTS));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_flags() {
        let all = all().expect("pages");
        let text =
            |name: &str| &all.iter().find(|page| page.name == name).unwrap_or_else(|| panic!("no page {name}")).roff;
        assert!(text("chatctl").contains("chatctl\\-message(1)"));
        assert!(text("chatctl-message").contains("\\-\\-wait") && text("chatctl-message").contains("EXAMPLES"));
        assert!(text("chatctl-daemon-logs").contains("\\-\\-follow"));
        assert!(text("chat-json").contains("recipient_online"));
        assert!(text("chat-exit-codes").contains("130"));
    }
}
