//! What hosts and operators can call. Who may call what is decided before a handler runs, by the interceptor that each
//! service is served with.

mod access;
mod enrollment;
mod foresight;
mod operator;
mod refusal;
mod services;
mod session;

pub use enrollment::EnrollmentService;
pub use foresight::Foresight;
pub use operator::{Endpoints, OperatorService, RunningBuilds};
pub use services::{Services, enrolment_routes};
pub use session::SessionService;
