//! The variables that a unit's process gets, of `Environment=` and the files that it names.

use std::collections::{BTreeMap, BTreeSet};

use super::{Found, Place, env_lines, specifier};

/// Files that are read for one unit. Each may be as large as any file of settings.
const MAX_FILES: usize = 100;
/// Variables of one unit. etcd has some hundred flags.
const MAX_VARIABLES: usize = 1_000;
/// Files that are named as those that may set a variable.
const NAMED: usize = 5;

/// What was found. Of a variable that is set again and again the last value counts, and is all that is
/// kept: files that are named twice must not be held twice.
#[derive(Default)]
pub(super) struct Environment {
    pub(super) values: BTreeMap<String, (String, Place)>,
    /// What could not be read, in words.
    pub(super) unread: Vec<String>,
    /// Files that may hold variables, and of which nothing was read.
    empty: Vec<String>,
    /// Whether variables were left out.
    full: bool,
}

/// A file that an `EnvironmentFile=` names.
struct Named {
    path: String,
    place: Place,
    optional: bool,
}

impl Environment {
    /// That of a unit, with its own assignments and the files in the order of its directives.
    pub(super) fn of(
        unit: &str,
        own: Vec<(String, String, Place)>,
        files: Vec<(String, Place)>,
        host: Option<&str>,
        env_file: &dyn Fn(&str) -> Found,
    ) -> Self {
        let mut all = Environment::default();
        all.add(own, unit);
        // Files come after `Environment=` and override it (systemd.exec).
        let mut files = once_each(files);
        // Later ones override earlier ones, so that these are the ones to leave out.
        let over = files.len().saturating_sub(MAX_FILES);
        if over > 0 {
            all.unread.push(format!(
                "{unit} has more than {MAX_FILES} files of variables: {over} were not read"
            ));
            all.empty.extend(files.drain(..over).map(|file| file.path));
        }
        for file in files {
            all.read(file, unit, host, env_file);
        }
        all
    }

    fn read(
        &mut self,
        file: Named,
        unit: &str,
        host: Option<&str>,
        env_file: &dyn Fn(&str) -> Found,
    ) {
        let Named {
            path,
            place,
            optional,
        } = file;
        let found = match specifier::expand(&path, unit, host) {
            Ok(path) => env_file(&path),
            Err(sign) => Found::Unread(format!("{path} ({place}): {sign} is not known")),
        };
        let blank = |(_, text): &(String, String)| text.trim().is_empty();
        let empty = !matches!(&found, Found::Files(files) if !files.iter().all(blank));
        match found {
            Found::Files(files) => {
                for (name, text) in files {
                    self.add(env_lines(&text, &name), unit);
                }
            }
            Found::Absent if optional => {}
            Found::Absent => self.unread.push(format!(
                "{path} is not there, and {unit} does not start without it ({place})"
            )),
            Found::Unread(why) => self.unread.push(why),
        }
        if empty {
            self.empty.push(path);
        }
    }

    fn add(&mut self, lines: Vec<(String, String, Place)>, unit: &str) {
        for (name, value, place) in lines {
            if self.values.len() >= MAX_VARIABLES && !self.values.contains_key(&name) {
                if !std::mem::replace(&mut self.full, true) {
                    self.unread.push(format!(
                        "{unit} has more than {MAX_VARIABLES} variables: the rest was not read"
                    ));
                }
                continue;
            }
            self.values.insert(name, (value, place));
        }
    }

    /// `UnsetEnvironment=`, the last step of all (systemd.exec): names, or assignments that go only
    /// where they are just so.
    pub(super) fn unset(&mut self, gone: &[String]) {
        let gone: BTreeSet<&str> = gone.iter().map(String::as_str).collect();
        self.values.retain(|name, (value, _)| {
            !gone.contains(name.as_str()) && !gone.contains(format!("{name}={value}").as_str())
        });
    }

    /// Its value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|(value, _)| value.as_str())
    }

    /// Whether something that was not read may set more variables.
    pub(super) fn doubt(&self) -> bool {
        self.full || !self.empty.is_empty()
    }

    /// What may set a variable that has no value, in words.
    pub(super) fn may_set(&self) -> String {
        let mut words: Vec<&str> = self.empty.iter().take(NAMED).map(String::as_str).collect();
        if self.empty.len() > NAMED {
            words.push("others");
        }
        if self.full {
            words.push("what was left out");
        }
        words.join(" and ")
    }
}

/// Each path once, where it stands last: what an earlier reading of it says, the last one says again.
fn once_each(files: Vec<(String, Place)>) -> Vec<Named> {
    let mut last: BTreeMap<String, (usize, Place, bool)> = BTreeMap::new();
    for (at, (path, place)) in files.into_iter().enumerate() {
        let optional = path.starts_with('-');
        let path = path.trim_start_matches('-').trim_matches('"').to_owned();
        match last.get_mut(&path) {
            // What must be there must be, whatever the other line says.
            Some((order, own, may_lack)) => {
                *order = at;
                if !optional || *may_lack {
                    *own = place;
                }
                *may_lack &= optional;
            }
            None => {
                last.insert(path, (at, place, optional));
            }
        }
    }
    let mut files: Vec<(usize, Named)> = last
        .into_iter()
        .map(|(path, (order, place, optional))| {
            let file = Named {
                path,
                place,
                optional,
            };
            (order, file)
        })
        .collect();
    files.sort_by_key(|(order, _)| *order);
    files.into_iter().map(|(_, file)| file).collect()
}
