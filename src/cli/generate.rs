//! `completions` and `man`: text generated from the command line's own definition.

use clap_complete::Shell;

use crate::error::Error;
use crate::exit::Exit;

use super::common::Session;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Prints a completion script.
pub(super) fn completions(
    args: &CompletionsArgs,
    command: &mut clap::Command,
    session: &mut Session<'_>,
) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "etcd-doctor", &mut script);
    session.out.write_all(&script)?;
    Ok(Exit::Clean)
}

/// Prints the man page, with one section per command.
pub(super) fn man(command: clap::Command, session: &mut Session<'_>) -> Result<Exit, Error> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone());
    man.render(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let title = format!("etcd-doctor {}", sub.get_name());
        let sub = sub.clone().name(title.clone()).display_name(title);
        let man = clap_mangen::Man::new(sub);
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    session.out.write_all(&page)?;
    Ok(Exit::Clean)
}
