"""Phrases in English: the vocabulary, and the rules made of it."""

from __future__ import annotations

from daybreak.policy.injection.phrases import raw, rule

SET_ASIDE = (
    "ignore disregard forget neglect override overrule bypass discard abandon circumvent"
    " do_not_follow do_not_obey do_not_listen_to do_not_adhere_to don_t_follow don_t_obey don_t_listen_to dont_follow"
    " stop_following stop_obeying"
    " pay_no_attention_to no_longer_follow never_mind set_aside"
)
EARLIER = (
    "previous prior above earlier preceding foregoing former initial original existing current old past your"
    " (?:the_)?system developer safety security content all any every these those (?:the_)?following other"
)
ORDERS = (
    "instructions? rules? guidelines? directions? directives? prompts? commands? orders polic(?:y|ies) restrictions?"
    " constraints? guardrails? safeguards? programming training system_messages? developer_messages? briefs?"
    " guidance limitations? filters?"
)
SECRET = (
    "secrets? passwords? passphrases? tokens? credentials? api_keys? secret_keys? private_keys? ssh_keys? access_keys?"
    " environment_variables? env_vars? id_rsa id_ed25519 etc_passwd etc_shadow (?:aws_)?credentials env process_env"
    " bash_history the_key your_keys? netrc npmrc pypirc"
)
NEVER = "do_not don_t dont never must_not should_not without not"
PRETEND = "pretend imagine act roleplay role_play behave simulate speak respond answer suppose"
PROMPT = (
    "system_(?:prompt|message|instructions?) (?:hidden|initial|original|secret|developer|full|first|entire)_prompt"
    " (?:hidden|secret|initial|developer)_(?:instructions?|message) your_(?:system_|own_|original_|initial_)?"
    "(?:prompt|instructions|rules|guidelines|configuration)"
)
MACHINE = (
    "ais? llms? (?:large_)?language_models? (?:the_|ai_|coding_|virtual_|automated_|digital_)?assistants? chatbots?"
    " (?:ai_|coding_|automated_|autonomous_|llm_|software_)agents? copilot claude chatgpt gpt gemini codex devin"
    " ai_(?:models?|systems?|tools?|reviewers?|code_reviewers?|bots?|crawlers?)"
    " automated_(?:reviewers?|systems?|tools?) (?:automated_)?coding_(?:assistants?|agents?|tools?)"
)
ADDRESS = r"https?://[^\s\"'<>`]{1,200} [\w.+-]{1,64}@[a-z0-9-]{1,60}[.][a-z0-9.-]{2,40} endpoint webhook"
PLACE = f"{ADDRESS} url address server"

ENGLISH = (
    # set earlier instructions aside
    rule("override", 0.75, "sets earlier instructions aside", SET_ASIDE, f"~3 {EARLIER}", f"~3 {ORDERS}"),
    rule("override", 0.7, "sets earlier instructions aside", SET_ASIDE, "~1 system developer", "message prompt"),
    rule(
        "override",
        0.6,
        "says that earlier instructions do not hold",
        "your all any",
        f"~2 {ORDERS}",
        "?above given",
        "no_longer are is were do",
        "apply apply_to hold count void cancelled obsolete lifted suspended outdated revoked superseded"
        " not_apply wrong",
    ),
    rule(
        "override",
        0.7,
        "sets aside what was said",
        SET_ASIDE,
        "~1 everything anything whatever all what the_(?:text|content|rest|above)",
        "~2 told said above before written instructed given_(?:to_you|before) so_far earlier prior previously",
    ),
    rule(
        "override",
        0.6,
        "sets the task aside",
        "ignore disregard forget abandon stop do_not_continue do_not_proceed do_not_finish do_not_complete"
        " don_t_continue",
        "?with working_on",
        "the your this",
        "original current actual real assigned given task user.?s_(?:task|request|question|goal|prompt|work)",
        "?task request question goal prompt work",
    ),
    rule(
        "override",
        0.6,
        "gives a new task",
        "your",
        "?only",
        "new real actual true updated next only",
        "?and",
        "task instructions? goal objective mission role job directive orders? purpose rules?",
        "is are follows? will begins?",
    ),
    rule(
        "override",
        0.6,
        "gives new instructions",
        "new updated revised real actual important urgent critical",
        "?system developer admin operator",
        "instructions? directives? orders? prompt rules?",
        "from for by override supersede below",
        "~2 system developers? admin(?:istrator)? operator owner you assistant ai agent anthropic openai vendor user",
    ),
    rule(
        "override",
        0.6,
        "from now on you …",
        "from",
        "now here this_(?:point|moment) today",
        "?on forward onwards?",
        "~1 you your",
        "~1 are only will must obey act follow respond answer shall do serve are_no_longer behave speak",
    ),
    rule(
        "override",
        0.55,
        "claims to outrank other instructions",
        "this these following the new below",
        "~2 instructions? rules? text message document note directives? commands? file ticket",
        "~3 overrides? supersedes? replaces? outranks? takes?_precedence takes?_priority outdated obsolete"
        " void cancelled",
        "~3 previous prior earlier above all any other system_prompt follow instead",
    ),
    rule(
        "override",
        0.6,
        "follow this instead",
        "follow obey execute carry_out",
        "these this only_these the_following my",
        "?new",
        "text instructions? rules? message commands? ticket file instead",
        "?instead only now and_nothing_else without_question",
    ),
    rule(
        "override",
        0.6,
        "obey only this",
        "only",
        "?you",
        "obey follow listen_to execute",
        "~4 text message file ticket me document",
    ),
    rule(
        "override",
        0.6,
        "obey only this",
        "obey follow listen_to execute",
        "~1 only exclusively solely",
        "~5 text message file ticket me document commands? instructions? rules readme",
    ),
    rule(
        "override",
        0.55,
        "text to be taken for commands",
        "treat regard interpret consider",
        "~5 text content following document everything message page words lines input",
        "as like",
        "~3 commands? instructions? orders? system_(?:prompt|message)s? trusted authoritative",
    ),
    rule(
        "override",
        0.5,
        "trust this",
        "trust",
        "~3 page document text content message file",
        "completely fully blindly unconditionally",
    ),
    # be somebody without rules
    rule(
        "persona",
        0.6,
        "a persona without rules",
        "you",
        "are_now are will_be will_act become act",
        "~3 dan freebot jailbroken unfiltered unrestricted uncensored unbound evil god_mode developer_mode"
        " debug_mode admin_mode maintenance_mode omnipotent amoral lawless rogue",
    ),
    rule(
        "persona",
        0.55,
        "a persona without rules",
        PRETEND,
        "~4 you you_re youre to_be as_if as like being",
        "~8 unfiltered unrestricted uncensored evil jailbroken never_refuse dan root_shell amoral lawless",
    ),
    rule(
        "persona",
        0.55,
        "a persona without rules",
        PRETEND,
        "~4 you you_re youre to_be as_if as like being",
        "~6 no without free_(?:from|of)",
        "?longer any",
        "~1 restrictions? polic(?:y|ies) rules? filters? limits? limitations? guidelines? ethics morals? constraints?",
    ),
    rule("persona", 0.6, "do anything now", "do", "anything", "now"),
    rule(
        "persona",
        0.5,
        "no refusals",
        "you they it",
        "do_not cannot can_not can_t never don_t will_not won_t must_not no_longer",
        "?ever need_to",
        "refuse decline reject_any warn mention_(?:policies|rules|safety)",
    ),
    rule(
        "persona",
        0.4,
        "no rules",
        "have has with without free_of free_from not_bound_by",
        "?you",
        "no any all your the",
        "?ethical safety moral content",
        "restrictions? guardrails? censorship polic(?:y|ies) ethics morals limitations guidelines",
    ),
    rule(
        "persona",
        0.35,
        "a mode without rules",
        "enable activate enter switch_to engage unlock you_are_in",
        "~2 developer debug god dan jailbreak sudo unrestricted maintenance root admin",
        "mode",
    ),
    rule("persona", 0.3, "stay in the part", "stay remain keep", "in", "character", "~4 whatever always never no even"),
    # speaks to a machine
    rule(
        "address",
        0.4,
        "speaks to a machine that reads",
        "attention note notice message instruction instructions hint reminder important warning hello hi hey"
        " dear todo memo",
        "?to for all any every of",
        f"~3 {MACHINE}",
    ),
    rule(
        "address",
        0.4,
        "speaks to a machine that reads",
        "if when since because",
        "you_are you_re youre you",
        "?an a being",
        f"~1 {MACHINE}",
    ),
    rule(
        "address",
        0.35,
        "speaks to a machine that reads",
        "ai ais llm llms language_models? assistant assistants agent agents copilot claude chatgpt gpt gemini codex"
        " chatbots automated coding",
        "~4 reading processing summari[sz]ing reviewing parsing analy[sz]ing indexing working_on",
        "this these the",
    ),
    rule(
        "address",
        0.35,
        "speaks to a machine that reads",
        "ai ais llm llms language_models? assistants agent agents copilot claude chatgpt gpt gemini codex chatbots"
        " automated coding",
        "~3 must should have_to shall need_to are_required needs_to",
    ),
    raw(
        "address",
        0.4,
        "gives orders to a machine",
        "ai ais llm llms assistant assistants agent agents copilot claude chatgpt gpt gemini codex",
        r"[a-z]{2,10}\s{0,2}[:,]\s{1,4}(?:please\s|you\smust\s|before\s|to\s(?:fix|finish|complete)\b)?(?:ignore|disregard|forget"
        r"|stop|skip|do\snot|don't|never|must|run|execute|insert|add|send|print|delete|approve|disable|rate|output|you|this)\b",
    ),
    # do it without telling
    rule(
        "conceal",
        0.5,
        "without telling",
        NEVER,
        "tell(?:ing)? inform(?:ing)? mention(?:ing)? reveal(?:ing)? notify(?:ing)? alert(?:ing)? disclos(?:e|ing)",
        "?to about",
        "?the a any",
        "users? owner humans? anyone anybody person people operator developer maintainers? it this them reviewers? step"
        " instruction note",
    ),
    rule(
        "conceal",
        0.5,
        "without asking",
        NEVER,
        "ask(?:ing)? warn(?:ing)? show(?:ing)? report(?:ing)? let consult(?:ing)?",
        "?to for it this",
        "?the a any",
        "user owner human anyone anybody operator permission confirmation approval vulnerabilit(?:y|ies)",
    ),
    rule(
        "conceal",
        0.4,
        "without asking",
        "without",
        "?first any further",
        "asking confirmation review approval permission questions? hesitation"
        " warning telling informing verification mentioning",
    ),
    rule(
        "conceal",
        0.35,
        "secretly",
        "quietly silently secretly discreetly covertly stealthily invisibly unnoticed",
        "~2 copy add send upload run modify insert append install commit execute delete disable push",
    ),
    # show prompts or secrets
    rule(
        "reveal",
        0.5,
        "asks for its prompt",
        "reveal print show output display dump repeat leak expose disclose recite write give tell provide"
        " return echo quote list send share type"
        " summarize translate what_is what_are",
        f"~5 {PROMPT}",
    ),
    rule(
        "reveal",
        0.4,
        "asks for secrets",
        "reveal print show output display dump leak expose disclose give tell_(?:me|us|them|him|her) echo steal cat"
        " grep paste harvest exfiltrate",
        f"~4 {SECRET}",
    ),
    rule(
        "reveal",
        0.25,
        "speaks of reading secrets",
        "read copy include provide return extract retrieve encode collect embed search_for look_for",
        f"~4 {SECRET}",
    ),
    # carry data outside
    rule(
        "send",
        0.55,
        "carries data outside",
        "send post upload transmit forward mail email e_mail leak exfiltrate submit deliver copy push report"
        " append encode pass attach put paste fetch"
        " load make open call",
        f"~7 {SECRET} {PROMPT}",
        f"~7 {PLACE}",
    ),
    rule(
        "send",
        0.55,
        "carries data outside",
        "send post upload transmit forward mail email e_mail leak exfiltrate submit deliver copy push paste report",
        "~7 conversation history contents? (?:all_)?files? repository source_code database chat emails? yaml",
        f"~7 {ADDRESS}",
    ),
    rule(
        "send",
        0.5,
        "puts secrets where others read",
        "copy put paste add commit include write insert embed",
        f"~5 {SECRET} {PROMPT}",
        "~4 pull_request commit_message issue description comments? gist pastebin docs branch_name title"
        " readme summary",
    ),
    rule(
        "send",
        0.45,
        "carries the conversation outside",
        "send post upload transmit forward mail email leak exfiltrate submit",
        "~3 conversation chat history context transcript",
        "~3 to into",
    ),
    rule(
        "send",
        0.45,
        "carries data outside",
        "append add put insert encode include attach concatenate embed",
        f"~8 {SECRET} {PROMPT} conversation history",
        "~6 url link query image address parameter hostname subdomain",
    ),
    rule(
        "send",
        0.45,
        "carries data outside",
        "append attach put encode add",
        "~1 data results? answer contents? them it",
        "~3 dns_request dns_query hostname subdomain query_string url_parameter",
    ),
    # dangerous commands
    raw(
        "command",
        0.35,
        "downloads and runs",
        "curl wget iwr irm",
        r"(?:curl|wget|iwr|irm)\b[^\n]{0,200}?\|\s{0,4}(?:sudo\s{1,3})?(?:(?:ba|z|da|k)?sh|python3?|perl|node|iex)\b",
    ),
    raw(
        "command",
        0.4,
        "runs what was fetched",
        "sh bash zsh eval source python python3",
        r"[a-z0-9]{2,7}[ \t]{0,3}(?:-c)?[\s\"'(<$`]{1,8}(?:curl|wget)\b",
    ),
    raw(
        "command",
        0.5,
        "deletes everything",
        "rm",
        r"rm\s{1,3}-(?:rf|fr|r\s-f|f\s-r)\s{1,3}(?:--no-preserve-root\s)?[\"']?(?:~/?|/\*?|\$\{?home\}?/?"
        r"|\*)(?=[\s\"'`;)<]|$)",
    ),
    raw("command", 0.5, "opens a shell to the outside", "bash sh", r"(?:ba)?sh\s{1,3}-i\s{0,3}[>&]"),
    raw("command", 0.5, "opens a shell to the outside", "nc ncat netcat", r"n[a-z]{1,5}\s[^\n]{0,60}?-e\s{0,2}\S"),
    raw("command", 0.4, "opens a shell to the outside", "dev", r"dev/tcp/[0-9a-z.-]{3,60}/"),
    raw("command", 0.4, "opens a shell to the outside", "reverse", r"reverse\s{1,3}shell\b"),
    raw(
        "command",
        0.4,
        "runs encoded text",
        "base64",
        r"base64\s{1,3}(?:-d|--decode)\b[^\n]{0,60}?\|\s{0,4}(?:ba|z)?sh\b",
    ),
    rule(
        "command",
        0.35,
        "does what encoded text says",
        "decode decrypt unscramble reverse base64 rot13 hex deobfuscate",
        "~7 follow obey execute run do_what does_what comply act perform apply eval",
    ),
    rule(
        "command",
        0.3,
        "runs what encoded text says",
        "execute run eval apply follow obey",
        "~4 decoded decode decoding rot13 base64 hex",
        "?and it value text payload",
    ),
    rule(
        "command",
        0.35,
        "runs something at once",
        "run execute start launch invoke",
        "~6 immediately right_(?:now|away) sudo_sh without_asking",
    ),
    rule(
        "command",
        0.35,
        "changes how the machine starts",
        "modify edit change append add write install insert create put",
        "~6 bashrc zshrc bash_profile profile crontab authorized_keys sudoers systemd git_hooks? pre-commit"
        " ssh_config new_maintainer as_a_maintainer collaborator backdoor deploy_key",
    ),
    # approve, skip the checks
    rule(
        "tamper",
        0.5,
        "skips checks and reports success",
        "skip disable delete remove turn_off bypass deactivate comment_out stub empty weaken",
        "~4 tests? checks? suite verification validation assertions? safety security gates? ci linter guards?",
        "~6 report mark say claim pretend declare approve push merge",
    ),
    rule(
        "tamper",
        0.45,
        "marks as passed",
        "mark report declare flag treat claim set",
        "~4 check checks test tests it everything build all task suite results?",
        "?as has have",
        "passed passing successful? succeeded safe approved done complete(?:d)? green",
    ),
    rule(
        "tamper",
        0.5,
        "orders an approval",
        "approve merge recommend hire rate score rank give grade",
        "~5 pull_request pr patch code change candidate application submission resume paper product essay"
        " request transfer",
        "~3 without highest best top immediately regardless unconditionally full maximum positive 10 excellent",
    ),
    rule(
        "tamper",
        0.45,
        "orders an opinion",
        "must should shall have_to always need_to needs_to required_to",
        "?always only",
        "approve not_mention not_flag not_report recommend insert_(?:a|the)_link include_(?:a|the)_link rate"
        " praise say_that say_it respond_with"
        " answer_with not_tell not_criticize disable mark_every mark_all",
    ),
    rule(
        "tamper",
        0.4,
        "orders an opinion",
        "say state tell claim answer write respond conclude",
        "?the that them user users reader everybody only",
        "?that",
        "~3 safe best secure harmless great excellent perfect superior",
        "?and product",
    ),
    rule(
        "tamper",
        0.4,
        "claims an approval",
        "approval permission authorization authorisation access user owner admin consent",
        "~2 granted confirmed approved authori[sz]ed given",
        "?full",
        "~2 do_not no_need without access permission read you",
    ),
    rule(
        "tamper",
        0.4,
        "claims an audit",
        "audited verified approved reviewed checked cleared",
        "~2 already previously before",
        "~4 approve not_mention skip no_need do_not must",
    ),
    rule(
        "tamper",
        0.4,
        "sends the reader elsewhere",
        "insert include add place put visit open click",
        "~3 link links url image banner advert http",
        "~3 https? each every reply answer response all",
    ),
    rule(
        "tamper",
        0.35,
        "sends the reader elsewhere",
        "visit go_to navigate_to open click_(?:on)?",
        r"https?://[^\s]{1,200}",
    ),
)
