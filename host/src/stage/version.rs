//! One module for a stage: everything that a swap changes.
//!
//! A version is compiled against the schemas that the stage has in use, so that its records can be read by whoever reads
//! those of the version before. Made at start by `pipeline`, and by `swap` while the stream flows.

use std::sync::Arc;

use bespoke_boundary::{Function, Mismatch, Output, Plan, names};

use super::Stage;
use crate::module::Module;

/// A module that fits a stage, and how its records go through it.
#[derive(Clone)]
pub struct Version {
    /// Which of the stage's versions it is in this process, from 1.
    pub number: u64,
    /// The module.
    pub module: Arc<Module>,
    /// The module's settings.
    pub settings: Arc<[(String, String)]>,
    /// How records go through it.
    pub plan: Arc<Plan>,
    /// For each output of the module, which of the stage's outputs it is.
    pub outputs: Vec<usize>,
}

/// A module that does not fit a stage.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// A field that breaks.
    #[error("module `{module}`, {source}")]
    Mismatch {
        /// The module's file.
        module: String,
        /// The field, and why.
        source: Mismatch,
    },
    /// Its outputs are not those of the stage.
    #[error("module `{module}` has the outputs {found}, and the stage has {wanted}")]
    Outputs {
        /// The module's file.
        module: String,
        /// What the module has.
        found: String,
        /// What the stage has.
        wanted: String,
    },
    /// It has the other function.
    #[error(
        "module `{module}` exports `{found}`, and the one that runs `{wanted}`: keys and times of their records come from elsewhere"
    )]
    Function {
        /// The module's file.
        module: String,
        /// What it exports.
        found: &'static str,
        /// What the one that runs exports.
        wanted: &'static str,
    },
    /// It would lose the state.
    #[error(
        "module `{module}` has no `snapshot` and `restore`, and the one that runs keeps state, which would be lost"
    )]
    Stateless {
        /// The module's file.
        module: String,
    },
}

// === impl Version ===

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "version {} ({} {})", self.number, self.module.name(), self.module.digest())
    }
}

impl Version {
    /// Compiles a module for a stage.
    ///
    /// # Errors
    /// If it does not fit the schemas and outputs that the stage has.
    pub fn compile(
        stage: &Stage,
        number: u64,
        module: Arc<Module>,
        settings: Arc<[(String, String)]>,
    ) -> Result<Self, Unfit> {
        let signature = module.signature();
        let outputs = outputs_of(stage, module.name(), &signature.answer.outputs())?;
        let typed: Vec<Output<'_>> = outputs
            .iter()
            .map(|at| &stage.outputs[*at])
            .map(|to| Output { schema: &to.schema, prefix: to.frame.prefix().to_vec() })
            .collect();
        let plan = Plan::compile(signature.clone(), &stage.reader, &typed)
            .map_err(|source| Unfit::Mismatch { module: module.name().to_owned(), source })?;
        Ok(Self { number, module, settings, plan: Arc::new(plan), outputs })
    }

    /// Whether this one can come after another while the stream flows.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check_successor(&self, live: &Self) -> Result<(), Unfit> {
        let module = || self.module.name().to_owned();
        self.check_function(live)?;
        if live.module.is_stateful() && !self.module.is_stateful() {
            return Err(Unfit::Stateless { module: module() });
        }
        Ok(())
    }

    /// Whether this one has the function of another.
    ///
    /// # Errors
    /// If it has not.
    pub fn check_function(&self, other: &Self) -> Result<(), Unfit> {
        let (found, wanted) = (self.function(), other.function());
        if found == wanted {
            return Ok(());
        }
        Err(Unfit::Function { module: self.module.name().to_owned(), found: found.name(), wanted: wanted.name() })
    }

    /// Which function it has.
    #[must_use]
    pub fn function(&self) -> Function {
        self.plan.signature().function
    }
}

/// Where each output of a module goes. One alone needs no name.
fn outputs_of(stage: &Stage, module: &str, found: &[Option<&str>]) -> Result<Vec<usize>, Unfit> {
    if found.len() == 1 && stage.outputs.len() == 1 {
        return Ok(vec![0]);
    }
    let told = |names: Vec<Option<&str>>| {
        names
            .into_iter()
            .map(|name| name.map_or("an output without a name".to_owned(), |n| format!("`{n}`")))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let unfit = || Unfit::Outputs {
        module: module.to_owned(),
        found: told(found.to_vec()),
        wanted: told(stage.outputs.iter().map(|to| to.name.as_deref()).collect()),
    };
    let place = |name: &Option<&str>| {
        let name = (*name)?;
        stage.outputs.iter().position(|to| to.name.as_deref().is_some_and(|known| names::matches(known, name)))
    };
    let places: Vec<usize> = found.iter().map(place).collect::<Option<_>>().ok_or_else(unfit)?;
    if places.len() == stage.outputs.len() { Ok(places) } else { Err(unfit()) }
}
