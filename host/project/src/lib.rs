//! The folder of a module's source: which language it is, its WIT, and how it becomes a component.
//!
//! Each language has a file here, which calls that language's own tools; what they lack, the bindings of Go and C and the
//! way from core code to a component, is built in. Generated files stand in `bindings/` inside the folder and nowhere
//! else. Called by `host build` and `host new`; nothing of this runs when a module is loaded.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_component::StringEncoding;

mod c;
mod component;
mod digest;
mod error;
mod files;
mod go;
mod javascript;
mod names;
mod process;
mod python;
mod rust;
mod scaffold;
mod sources;
mod tools;

pub use error::ProjectError;
pub use scaffold::{Plan, is_plain, scaffold};
pub use sources::{Looks, Sources};
pub use tools::Tools;

/// What is generated goes here, inside the folder of the source. It can be deleted at any time.
const BINDINGS: &str = "bindings";
/// Where the WIT is, inside the folder.
const WIT: &str = "wit";

/// Files in the folder of the bindings, by their paths there.
type Generated = Vec<(String, Vec<u8>)>;

/// A language that modules are written in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// With componentize-py.
    Python,
    /// On QuickJS.
    Javascript,
    /// The same, bundled and checked first.
    Typescript,
    /// With the Go compiler itself.
    Go,
    /// With zig's C compiler.
    C,
    /// With cargo.
    Rust,
}

/// A folder with the source of a module.
pub struct Project {
    dir: PathBuf,
    language: Language,
    resolve: Resolve,
    world: WorldId,
}

/// What came of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Built {
    /// The component is new, or another than before.
    New,
    /// The sources are those of the component that is there.
    Unchanged,
}

// === impl Language ===

impl Language {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Python, Self::Javascript, Self::Typescript, Self::Go, Self::C, Self::Rust];

    /// As it is called on the command line and in the names of folders.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Javascript => "javascript",
            Self::Typescript => "typescript",
            Self::Go => "go",
            Self::C => "c",
            Self::Rust => "rust",
        }
    }

    /// The file by which its folders are known.
    #[must_use]
    pub fn mark(self) -> &'static str {
        match self {
            Self::Python => "module.py",
            Self::Javascript => "module.js",
            Self::Typescript => "module.ts",
            Self::Go => "go.mod",
            Self::C => "module.c",
            Self::Rust => "Cargo.toml",
        }
    }

    /// The language of a folder.
    ///
    /// # Errors
    /// If it is no module's folder, or has files of several languages.
    pub fn of(dir: &Path) -> Result<Self, ProjectError> {
        let found: Vec<_> = Self::ALL.into_iter().filter(|language| dir.join(language.mark()).is_file()).collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(ProjectError::NoModule { dir: dir.to_owned() }),
            several => {
                let marks: Vec<_> = several.iter().map(|language| language.mark()).collect();
                Err(ProjectError::Several { dir: dir.to_owned(), found: marks.join(" and ") })
            }
        }
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|language| language.name() == name);
        found.ok_or_else(|| format!("it is none of {known}"))
    }
}

// === impl Project ===

impl Project {
    /// The module of this folder. `world` is needed where its WIT has several.
    ///
    /// # Errors
    /// If it is no module's folder, its WIT cannot be read, or has names that the language's tools cannot write.
    pub fn open(dir: &Path, world: Option<&str>) -> Result<Self, ProjectError> {
        let language = Language::of(dir)?;
        let wit = dir.join(WIT);
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(&wit).map_err(|source| ProjectError::Wit { path: wit.clone(), source })?;
        let worlds = &resolve.packages[package].worlds;
        let chosen = match world {
            Some(name) => worlds.get(name),
            None if worlds.len() == 1 => worlds.values().next(),
            None => None,
        };
        let world = *chosen.ok_or_else(|| ProjectError::World {
            path: wit.clone(),
            found: worlds.keys().cloned().collect(),
            wanted: world.map(ToOwned::to_owned),
        })?;
        let project = Self { dir: dir.to_owned(), language, resolve, world };
        names::check(language, &project.resolve, world)?;
        Ok(project)
    }

    /// The language.
    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The world, after which the component is named.
    #[must_use]
    pub fn world(&self) -> &str {
        &self.resolve.worlds[self.world].name
    }

    /// Where the component goes if nothing else is said.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.dir.join(self.world()).with_extension("wasm")
    }

    /// Writes what a build and an editor need beside the source, as far as that takes no tool of others.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_bindings(&self) -> Result<(), ProjectError> {
        self.written().map(drop)
    }

    /// The same, with what takes a tool.
    ///
    /// # Errors
    /// If a file cannot be written, or the tool is missing.
    pub fn write_all_bindings(&self, tools: &Tools<'_>) -> Result<(), ProjectError> {
        files::write(&self.bindings().join(".gitignore"), b"*\n")?;
        let _lock = tools.lock_bindings(&self.bindings())?;
        self.write_bindings()?;
        if self.language == Language::Python { python::other_bindings(self, tools) } else { Ok(()) }
    }

    /// Makes the component, unless it is there already and made of the same sources.
    ///
    /// # Errors
    /// If a tool is missing, or refuses the source.
    pub fn build(&self, tools: &Tools<'_>, output: &Path) -> Result<Built, ProjectError> {
        files::write(&self.bindings().join(".gitignore"), b"*\n")?;
        let _lock = tools.lock_bindings(&self.bindings())?;
        let generated = self.written()?;
        let sources = digest::of_sources(&self.dir, output, self.world(), &generated)?;
        // Cargo knows by itself, and better: of crates elsewhere too.
        let knows_itself = self.language == Language::Rust;
        if !knows_itself && digest::is_built(&self.bindings(), &sources, output) {
            return Ok(Built::Unchanged);
        }
        let bytes = match self.language {
            Language::Go => go::build(self, tools)?,
            Language::C => c::build(self, tools, &generated)?,
            Language::Javascript | Language::Typescript => javascript::build(self, tools)?,
            Language::Python => python::build(self, tools)?,
            Language::Rust => rust::build(self, tools)?,
        };
        let is_there = knows_itself && files::read(output).is_ok_and(|there| there == bytes);
        if !is_there {
            files::replace(output, &bytes)?;
        }
        digest::note(&self.bindings(), &sources, &bytes)?;
        Ok(if is_there { Built::Unchanged } else { Built::New })
    }

    /// Whether a component was made of other sources than those that are there now, as far as that can be told.
    #[must_use]
    pub fn is_stale(&self, output: &Path) -> bool {
        let generated = self.generated();
        let sources = generated.and_then(|generated| digest::of_sources(&self.dir, output, self.world(), &generated));
        sources.is_ok_and(|sources| digest::is_stale(&self.bindings(), &sources, output))
    }

    fn bindings(&self) -> PathBuf {
        self.dir.join(BINDINGS)
    }

    /// What stands beside the source, as far as that takes no tool of others: the bindings and the helpers.
    fn generated(&self) -> Result<Generated, ProjectError> {
        match self.language {
            Language::Go => go::bindings(self),
            Language::C => c::bindings(self),
            Language::Javascript | Language::Typescript => Ok(javascript::bindings(self)),
            Language::Python => Ok(python::bindings(self)),
            Language::Rust => Ok(rust::bindings()),
        }
    }

    /// Writes that.
    fn written(&self) -> Result<Generated, ProjectError> {
        let generated = self.generated()?;
        if self.language == Language::Python {
            python::make_room(self, &generated)?;
        }
        files::write(&self.bindings().join(".gitignore"), b"*\n")?;
        for (path, bytes) in &generated {
            files::write(&self.bindings().join(path), bytes)?;
        }
        Ok(generated)
    }

    /// The WIT, for tools that read it themselves. Paths are absolute, as tools run in folders of their own.
    fn wit(&self) -> Result<PathBuf, ProjectError> {
        absolute(&self.dir.join(WIT))
    }

    /// The generated files of one of wit-bindgen's generators.
    fn generate(
        &self,
        mut generator: Box<dyn wit_bindgen_core::WorldGenerator>,
    ) -> Result<wit_bindgen_core::Files, ProjectError> {
        let mut generated = wit_bindgen_core::Files::default();
        generator
            .generate(&mut self.resolve.clone(), self.world, &mut generated)
            .map_err(|source| ProjectError::Bindings { path: self.dir.join(WIT), source })?;
        Ok(generated)
    }

    /// Puts the world into core code that does not say what it is.
    fn embed(&self, core: &mut Vec<u8>) -> Result<(), ProjectError> {
        wit_component::embed_component_metadata(core, &self.resolve, self.world, StringEncoding::UTF8, false)
            .map_err(ProjectError::Component)
    }
}

fn absolute(path: &Path) -> Result<PathBuf, ProjectError> {
    fs::canonicalize(path).map_err(|source| ProjectError::File { path: path.to_owned(), source })
}
