//! From a file to a module that is understood: a component, its functions, its imports.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bespoke_boundary::{Function, Signature, SignatureError};
use sha2::{Digest, Sha256};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, InstancePre, Type};

use super::Limits;
use super::output::Rate;
use super::sandbox::{Clock, Sandbox, State};
use super::time::VirtualTime;

/// Files larger than this are no modules. CPython with its standard library has 40 MB.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// A compiled module, ready to be instantiated any number of times.
#[derive(Clone)]
pub struct Module {
    pub(super) pre: InstancePre<State>,
    pub(super) engine: wasmtime::Engine,
    /// A module outlives its sandbox, and its time limits must hold as long.
    _clock: Arc<Clock>,
    /// Only under test.
    pub(super) time: Option<VirtualTime>,
    pub(super) limits: Limits,
    pub(super) name: Arc<str>,
    pub(super) lines: Rate,
    signature: Signature,
    /// The name of the function that is called.
    pub(super) export: Arc<str>,
    digest: String,
    size_bytes: usize,
    imports: Vec<String>,
    pub(super) configure: bool,
    pub(super) state: Option<StateType>,
}

/// How a module hands over its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StateType {
    Bytes,
    Text,
}

/// A file that is no module for this host.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("module `{path}` cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no component.
    #[error("`{path}` is not a WebAssembly component: {what}")]
    NotAComponent {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// It imports what the host does not have.
    #[error(
        "module `{path}` imports `{import}`, which this host does not offer; it offers WASI 0.2, wasi:logging, and interfaces \
         that hold only types"
    )]
    Import {
        /// The file.
        path: PathBuf,
        /// The import.
        import: String,
    },
    /// It exports neither function, or both, or one that is not a function.
    #[error("module `{path}`: {what}")]
    Exports {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A function has a type that the contract does not know.
    #[error("module `{path}`: {source}")]
    Signature {
        /// The file.
        path: PathBuf,
        /// Which, and why.
        source: SignatureError,
    },
}

impl Module {
    /// Reads, compiles and checks a module.
    ///
    /// # Errors
    /// Everything that can be wrong with it before it meets a schema.
    pub fn load(sandbox: &Sandbox, path: &Path, limits: Limits) -> Result<Self, LoadError> {
        Self::from_bytes(sandbox, path, &Self::read(path)?, limits)
    }

    /// Reads the bytes of a file that may be a module.
    ///
    /// # Errors
    /// [`LoadError::Read`], and [`LoadError::NotAComponent`] if it is too large for one.
    pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
        let read = |source| LoadError::Read { path: path.to_owned(), source };
        let length = std::fs::metadata(path).map_err(read)?.len();
        if length > MAX_FILE_BYTES {
            let what = format!("it has {length} bytes, and modules have at most {MAX_FILE_BYTES}");
            return Err(LoadError::NotAComponent { path: path.to_owned(), what });
        }
        std::fs::read(path).map_err(read)
    }

    /// As [`Module::load`], of bytes that were read from `path`.
    ///
    /// # Errors
    /// As for [`Module::load`].
    pub fn from_bytes(sandbox: &Sandbox, path: &Path, bytes: &[u8], limits: Limits) -> Result<Self, LoadError> {
        let exports = |what: String| LoadError::Exports { path: path.to_owned(), what };
        check_header(path, bytes)?;
        let component = Component::new(&sandbox.engine, bytes)
            .map_err(|e| LoadError::NotAComponent { path: path.to_owned(), what: e.root_cause().to_string() })?;
        let ty = component.component_type();
        let engine = &sandbox.engine;
        let pre = sandbox.linker.instantiate_pre(&component).map_err(|error| {
            let imports = ty.imports(engine).map(|(name, item)| (name.to_owned(), holds_only_types(engine, &item.ty)));
            let unknown = imports.filter(|(name, types)| !types && !offered(name)).map(|(name, _)| name).next();
            match unknown {
                Some(import) => LoadError::Import { path: path.to_owned(), import },
                None => exports(format!("it does not fit what the host offers: {}", error.root_cause())),
            }
        })?;
        let function = |name: &str| match ty.get_export(engine, name).map(|e| e.ty) {
            Some(ComponentItem::ComponentFunc(func)) => Some(func),
            _ => None,
        };
        let (which, func) = match (function("process"), function("analyze")) {
            (Some(func), None) => (Function::Process, func),
            (None, Some(func)) => (Function::Analyze, func),
            (Some(_), Some(_)) => {
                return Err(exports("it exports both `process` and `analyze`; a module has one of them".to_owned()));
            }
            (None, None) => {
                let names: Vec<_> = ty.exports(engine).map(|(name, _)| format!("`{name}`")).collect();
                let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
                return Err(exports(format!(
                    "it exports neither `process` nor `analyze` at the root of its world, but {found}"
                )));
            }
        };
        let signature =
            Signature::of(which, &func).map_err(|source| LoadError::Signature { path: path.to_owned(), source })?;
        let configure = match function("configure") {
            None => false,
            Some(func) if has_type(&func, &[is_settings], is_refusal) => true,
            Some(_) => {
                let right = "func(settings: list<tuple<string, string>>) -> result<_, string>";
                return Err(exports(format!("`configure` must be `{right}`")));
            }
        };
        let state = state_type(function("snapshot"), function("restore")).map_err(exports)?;
        let imports = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let name = path.file_name().map_or_else(|| "module".into(), |n| n.to_string_lossy().into_owned());
        Ok(Self {
            lines: Rate::default(),
            pre,
            engine: engine.clone(),
            _clock: sandbox.clock.clone(),
            time: sandbox.time.clone(),
            limits,
            name: name.into(),
            export: which.name().into(),
            signature,
            digest: digest_of(bytes),
            size_bytes: bytes.len(),
            imports,
            configure,
            state,
        })
    }

    /// The same module with other limits.
    #[must_use]
    pub fn limited(&self, limits: Limits) -> Self {
        Self { limits, ..self.clone() }
    }

    /// The same module, but one of its other exports is called in the place of its function. A stage never does that; tests do
    /// with a module that has a function for each of many types, which is compiled once for all of them.
    ///
    /// # Errors
    /// If there is no such function, or the contract does not know its type.
    pub fn calling(&self, function: Function, export: &str) -> Result<Self, LoadError> {
        let path = PathBuf::from(&*self.name);
        let ty = self.pre.component().component_type();
        let Some(ComponentItem::ComponentFunc(func)) = ty.get_export(&self.engine, export).map(|e| e.ty) else {
            return Err(LoadError::Exports { path, what: format!("it exports no function `{export}`") });
        };
        let signature = Signature::of(function, &func).map_err(|source| LoadError::Signature { path, source })?;
        Ok(Self { signature, export: export.into(), ..self.clone() })
    }

    /// The type of its function.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The file's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its bytes, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Bytes of the file.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// What it imports.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Whether it takes settings.
    #[must_use]
    pub fn has_configure(&self) -> bool {
        self.configure
    }

    /// Whether it keeps state, by `snapshot` and `restore`.
    #[must_use]
    pub fn is_stateful(&self) -> bool {
        self.state.is_some()
    }
}

/// SHA-256 of a module's bytes, in hexadecimal.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The first eight bytes tell a component from a core module.
fn check_header(path: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    let what = match bytes {
        [] => "the file is empty",
        [0x00, b'a', b's', b'm', 0x0d, 0x00, 0x01, 0x00, ..] => return Ok(()),
        [0x00, b'a', b's', b'm', 0x01, 0x00, 0x00, 0x00, ..] => {
            "it is a core module; make a component of it, in Rust by `--target wasm32-wasip2`, else by `wasm-tools component new`"
        }
        [0x00, b'a', b's', b'm', ..] => "it is of a version of WebAssembly that this host does not know",
        _ => "it does not start as WebAssembly does; is the path right, is the file complete?",
    };
    Err(LoadError::NotAComponent { path: path.to_owned(), what: what.to_owned() })
}

fn offered(import: &str) -> bool {
    let wasi =
        ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/", "wasi:logging/"];
    wasi.iter().any(|package| import.starts_with(package))
}

fn holds_only_types(engine: &wasmtime::Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, e)| matches!(e.ty, ComponentItem::Type(_)))
        }
        ComponentItem::Type(_) => true,
        _ => false,
    }
}

fn state_type(snapshot: Option<ComponentFunc>, restore: Option<ComponentFunc>) -> Result<Option<StateType>, String> {
    let (snapshot, restore) = match (snapshot, restore) {
        (None, None) => return Ok(None),
        (Some(snapshot), Some(restore)) => (snapshot, restore),
        _ => return Err("it has one of `snapshot` and `restore`; a module with state has both".to_owned()),
    };
    for (state, is_state) in [(StateType::Bytes, is_bytes as fn(&Type) -> bool), (StateType::Text, is_string)] {
        if has_type(&snapshot, &[], is_state) && has_type(&restore, &[is_state], is_refusal) {
            return Ok(Some(state));
        }
    }
    Err("`snapshot` must be `func() -> list<u8>` and `restore` `func(state: list<u8>) -> result<_, string>`, or both with \
         `string` for the state"
        .to_owned())
}

fn has_type(func: &ComponentFunc, params: &[fn(&Type) -> bool], result: fn(&Type) -> bool) -> bool {
    let given: Vec<Type> = func.params().map(|(_, ty)| ty).collect();
    let results: Vec<Type> = func.results().collect();
    given.len() == params.len()
        && given.iter().zip(params).all(|(ty, is)| is(ty))
        && matches!(results.as_slice(), [ty] if result(ty))
}

fn is_bytes(ty: &Type) -> bool {
    matches!(ty, Type::List(list) if list.ty() == Type::U8)
}

fn is_string(ty: &Type) -> bool {
    matches!(ty, Type::String)
}

fn is_settings(ty: &Type) -> bool {
    let Type::List(list) = ty else { return false };
    let Type::Tuple(tuple) = list.ty() else { return false };
    tuple.types().collect::<Vec<_>>() == [Type::String, Type::String]
}

/// `result<_, string>`
fn is_refusal(ty: &Type) -> bool {
    matches!(ty, Type::Result(result) if result.ok().is_none() && result.err() == Some(Type::String))
}
