//! The ways of a path: its instructions, and whether they go together.

use super::{Reader, Table, Value, milliseconds, shown, suggestion};
use crate::appup::Instruction;
use crate::limits::APPUP_TIMEOUT_DEFAULT;

/// The instructions, each with what it takes.
const INSTRUCTIONS: [(&str, &str); 7] = [
    ("update", "\"state\""),
    ("load", "\"code\""),
    ("add", "\"plugin\""),
    ("remove", "\"plugin\""),
    ("restart", "\"plugin\""),
    ("run", "\"NAME OF A HOOK\""),
    ("restart_host", "true"),
];

/// What may stand beside an instruction.
const OPTIONS: [&str; 2] = ["timeout_ms", "suspend"];

impl Reader<'_> {
    pub(super) fn way(&mut self, way: &str, value: &Value<'_>) -> Vec<Instruction> {
        let wanted = "list of instructions; write it as [{ update = \"state\" }]";
        let Some(array) = value.get_ref().as_array() else {
            self.not(way, value, wanted);
            return Vec::new();
        };
        let before = self.problems.len();
        let mut instructions = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(table) => instructions.extend(self.instruction(item, table)),
                None => self.not(way, item, "instruction; write it as { update = \"state\" }"),
            }
        }
        // What is not understood may be what would be missed here.
        if self.problems.len() == before {
            self.check_way(way, value, &instructions);
        }
        instructions
    }

    fn check_way(&mut self, way: &str, value: &Value<'_>, instructions: &[Instruction]) {
        let changes: Vec<&str> = instructions
            .iter()
            .filter(|it| {
                matches!(
                    it,
                    Instruction::Update { .. }
                        | Instruction::Load
                        | Instruction::Add
                        | Instruction::Remove
                )
            })
            .map(Instruction::name)
            .collect();
        let count = |it| instructions.iter().filter(|other| *other == it).count();
        let text = match changes[..] {
            [] if way == "down" && instructions.is_empty() => {
                "down is empty, so there is no way back; say so by taking it out, or write down = [{ update = \"state\" }]".to_owned()
            }
            [] if count(&Instruction::Restart) == 0 => format!(
                "{way} does not say how the state crosses; put an update = \"state\" in, or a load = \"code\" where only the code changes"
            ),
            [] | [_] if count(&Instruction::Restart) > 1 => {
                format!("{way} says restart twice; once is enough")
            }
            [change @ ("add" | "remove")] if count(&Instruction::Restart) > 0 => {
                format!("{way} says {change} and restart; a plugin that comes or goes has no actors to restart")
            }
            [] | [_] => return,
            [first, second, ..] => format!(
                "{way} says {first} and {second}; a state crosses once, so take one of them out"
            ),
        };
        self.wrong(value.span(), text);
    }

    fn instruction(&mut self, item: &Value<'_>, table: &Table<'_>) -> Option<Instruction> {
        let names = INSTRUCTIONS.map(|(name, _)| name);
        let mut found: Option<(&str, &Value<'_>)> = None;
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if OPTIONS.contains(&name) {
                continue;
            }
            if !names.contains(&name) {
                let mut known = names.to_vec();
                known.extend(OPTIONS);
                let text = format!(
                    "`{name}` is no instruction{}; there are: {}",
                    suggestion(name, &known),
                    names.join(", ")
                );
                self.wrong(key.span(), text);
                return None;
            }
            if let Some((other, _)) = found {
                let text = format!(
                    "one instruction says {other} and {name}; write each in braces of its own"
                );
                self.wrong(key.span(), text);
                return None;
            }
            found = Some((name, value));
        }
        let Some((name, value)) = found else {
            let text = format!(
                "an instruction is missing in these braces; there are: {}",
                names.join(", ")
            );
            self.wrong(item.span(), text);
            return None;
        };
        self.options(name, table);
        let timeout_ms = match table.get("timeout_ms") {
            Some(value) => self.milliseconds("timeout_ms", value, 5_000),
            None => milliseconds(APPUP_TIMEOUT_DEFAULT),
        };
        let is = |text| value.get_ref().as_str() == Some(text);
        let instruction = match name {
            "update" if is("state") => Some(Instruction::Update {
                timeout_ms,
                suspend: self.suspend(table),
            }),
            "load" if is("code") => Some(Instruction::Load),
            "add" if is("plugin") => Some(Instruction::Add),
            "remove" if is("plugin") => Some(Instruction::Remove),
            "restart" if is("plugin") => Some(Instruction::Restart),
            "run" => match value.get_ref().as_str() {
                Some(hook) if !hook.is_empty() => Some(Instruction::Run {
                    hook: hook.to_owned(),
                    timeout_ms,
                }),
                _ => None,
            },
            "restart_host" if value.get_ref().as_bool() == Some(true) => {
                Some(Instruction::RestartHost)
            }
            _ => None,
        };
        if instruction.is_none() {
            let right = INSTRUCTIONS.iter().find(|(known, _)| *known == name);
            let right = right.map_or("", |(_, right)| right);
            let text = format!(
                "{name} = {}, which is not known; write {name} = {right}",
                shown(value)
            );
            self.wrong(value.span(), text);
        }
        instruction
    }

    /// Says of an option that its instruction does not take.
    fn options(&mut self, instruction: &str, table: &Table<'_>) {
        for (key, _) in table {
            let option = key.get_ref().as_ref();
            let takers: &[&str] = match option {
                "timeout_ms" => &["update", "run"],
                "suspend" => &["update"],
                _ => continue,
            };
            if !takers.contains(&instruction) {
                let text = format!(
                    "{instruction} takes no {option}; it belongs to {}",
                    takers.join(" and ")
                );
                self.wrong(key.span(), text);
            }
        }
    }

    fn suspend(&mut self, table: &Table<'_>) -> bool {
        let Some(value) = table.get("suspend") else {
            return false;
        };
        let suspend = value.get_ref().as_bool();
        if suspend.is_none() {
            self.not("suspend", value, "truth value; write true or false");
        }
        suspend.unwrap_or_default()
    }
}
