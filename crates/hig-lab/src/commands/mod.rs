//! The commands of the program, a file or a folder each.

pub mod cli;
pub mod compare;
pub mod export;
pub mod init;
pub mod list;
pub mod manual;
pub mod options;
pub mod report;
pub mod reproduce;
pub mod resume;
pub mod run;
pub mod statistics;
pub mod study;
pub mod sweep;
pub mod threads;
pub mod watch;
