mod alerts;
mod boards;
mod expressions;
mod fresh;
mod linter;
mod metrics;
