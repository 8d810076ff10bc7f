//! Tests of the project as a whole. The code is in the test targets beside this.
