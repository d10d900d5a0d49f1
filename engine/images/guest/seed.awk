# Reads meta-data and user-data of a cloud-init seed and prints what they ask for as calls of the functions in seed.sh.
#   usage: awk -f seed.awk META-DATA USER-DATA
# Understands the YAML that seeds are written in: block maps and lists, flow (JSON) maps and lists, plain, quoted and
# block scalars. No anchors, no merge keys. V[path] is a scalar, N[path] the length of a list; S joins paths.
# A value that cannot be parsed ends the reading of its file; what was read before it counts.

BEGIN {
  S = SUBSEP
  read_file(ARGV[1], "meta")
  read_file(ARGV[2], "user")
  print_hostname()
  print_users()
  print_passwords()
  print_host_keys()
  print_files()
  print_runcmd()
  exit
}

# ---- reading -------------------------------------------------------------------------------------------------------

function read_file(name, root,    line) {
  LAST = 0; I = 1; BAD = 0
  while ((getline line < name) > 0) {
    sub(/\r$/, "", line)
    LINE[++LAST] = line
  }
  close(name)
  if (root == "user" && LINE[1] !~ /^#cloud-config/) return
  while (I <= LAST && LINE[I] ~ /^(#.*|---.*|%.*| *)$/) I++
  node(root, 0)
}

function indent_of(line) { match(line, /^ */); return RLENGTH }

function skip_blank() { while (I <= LAST && LINE[I] ~ /^ *(#.*)?$/) I++; return I <= LAST && LINE[I] !~ /^\.\.\.|^---/ }

function trim(text) { sub(/^[ \t]+/, "", text); sub(/[ \t]+$/, "", text); return text }

function spaces(count,    text) { while (count-- > 0) text = text " "; return text }

function node(path, least,    depth, text, line) {
  if (BAD || !skip_blank()) return
  depth = indent_of(LINE[I])
  if (depth < least) return
  text = substr(LINE[I], depth + 1)
  if (text ~ /^-( |$)/) list(path, depth)
  else if (split_key(text)) map(path, depth)
  else value(path, text, depth - 1)
}

function list(path, depth,    rest, index_, here) {
  index_ = 0
  while (!BAD && skip_blank() && indent_of(LINE[I]) == depth && substr(LINE[I], depth + 1) ~ /^-( |$)/) {
    rest = substr(LINE[I], depth + 2)
    here = I
    if (rest ~ /^ *(#.*)?$/) {
      I++
      node(path S index_, depth + 1)
    } else {
      LINE[I] = spaces(depth + 1) rest
      node(path S index_, depth + 1)
      if (I == here) I++
    }
    N[path] = ++index_
  }
}

function map(path, depth,    key, rest) {
  while (!BAD && skip_blank() && indent_of(LINE[I]) == depth && split_key(substr(LINE[I], depth + 1))) {
    key = KEY; rest = REST
    if (rest ~ /^(#.*)?$/) {
      I++
      if (!skip_blank()) return
      if (indent_of(LINE[I]) == depth && substr(LINE[I], depth + 1) ~ /^-( |$)/) list(path S key, depth)
      else node(path S key, depth + 1)
    } else value(path S key, rest, depth)
  }
}

# Sets KEY and REST when a block map's entry begins with `text`.
function split_key(text,    first) {
  first = substr(text, 1, 1)
  if (first == "\"" || first == "'") {
    BUFFER = text; ONE_LINE = 1
    KEY = quoted(first)
    ONE_LINE = 0
    if (BAD) { BAD = 0; return 0 }
    if (!match(BUFFER, /^ *:([ \t]|$)/)) return 0
    REST = trim(substr(BUFFER, RLENGTH + 1))
    return 1
  }
  if (index("[{|>&*!%@`#,", first) || !match(text, /:([ \t]|$)/)) return 0
  KEY = trim(substr(text, 1, RSTART - 1))
  REST = trim(substr(text, RSTART + 1))
  return 1
}

# Takes the scalar or flow value that begins with `text` on line I, and moves I past it. `depth` is its parent's indent.
function value(path, text, depth,    first) {
  while (match(text, /^[!&][^ ]* +/)) text = substr(text, RLENGTH + 1)
  first = substr(text, 1, 1)
  if (first == "|" || first == ">") { block(path, text, depth); return }
  if (first == "[" || first == "{") { BUFFER = text; flow(path); I++; return }
  if (first == "\"" || first == "'") { BUFFER = text; V[path] = quoted(first); I++; return }
  V[path] = plain(text)
  for (I++; I <= LAST && LINE[I] !~ /^ *$/ && indent_of(LINE[I]) > depth; I++) V[path] = V[path] " " plain(trim(LINE[I]))
}

function plain(text) {
  sub(/^#.*/, "", text)
  sub(/[ \t]+#.*/, "", text)
  text = trim(text)
  return text == "~" || text == "null" ? "" : text
}

function block(path, text, depth,    folded, keep, strip, inner, line, pending, out, started) {
  folded = text ~ /^>/; strip = text ~ /^.[0-9]?-/; keep = text ~ /^.[0-9]?\+/
  inner = match(text, /^[|>][-+]?[1-9]/) ? depth + substr(text, RLENGTH, 1) : 0
  if (inner < 1 && match(text, /^[|>][-+]?[1-9]/)) inner = substr(text, RLENGTH, 1) + 0
  for (I++; I <= LAST; I++) {
    line = LINE[I]
    if (line ~ /^ *$/) { pending = pending "\n"; continue }
    if (indent_of(line) <= depth) break
    if (!inner) inner = indent_of(line)
    if (started) out = out (!folded ? "\n" pending : pending == "" ? " " : pending)
    else out = pending
    out = out substr(line, inner + 1)
    pending = ""; started = 1
  }
  V[path] = strip ? out : keep ? out "\n" pending : started ? out "\n" : ""
}

# ---- quoted scalars and flow, from BUFFER, which takes in more lines as it needs them -------------------------------

function more(glue) {
  if (ONE_LINE || I >= LAST) { BAD = 1; return 0 }
  sub(/[ \t]+$/, "", BUFFER)
  BUFFER = BUFFER glue trim(LINE[++I])
  return 1
}

function quoted(quote,    out, at, folds) {
  BUFFER = substr(BUFFER, 2)
  while (!BAD) {
    at = quote == "'" ? index(BUFFER, "'") : match(BUFFER, /["\\]/)
    if (!at) {
      folds = " "
      while (I < LAST && LINE[I + 1] ~ /^[ \t]*$/ && !ONE_LINE) { I++; folds = folds == " " ? "\n" : folds "\n" }
      more(folds)
      continue
    }
    out = out substr(BUFFER, 1, at - 1)
    if (substr(BUFFER, at, 1) == "\\") {
      BUFFER = substr(BUFFER, at + 1)
      if (BUFFER == "") more("")
      else out = out escape()
    } else if (quote == "'" && substr(BUFFER, at + 1, 1) == "'") {
      BUFFER = substr(BUFFER, at + 2)
      out = out "'"
    } else {
      BUFFER = substr(BUFFER, at + 1)
      return out
    }
  }
  return out
}

function escape(    letter, digits, code) {
  letter = substr(BUFFER, 1, 1)
  BUFFER = substr(BUFFER, 2)
  digits = letter == "x" ? 2 : letter == "u" ? 4 : letter == "U" ? 8 : 0
  if (digits) {
    code = hex(substr(BUFFER, 1, digits))
    BUFFER = substr(BUFFER, digits + 1)
    if (code >= 55296 && code < 56320 && BUFFER ~ /^\\u[dD]/) {
      code = 65536 + (code - 55296) * 1024 + hex(substr(BUFFER, 3, 4)) - 56320
      BUFFER = substr(BUFFER, 7)
    }
    return utf8(code)
  }
  if (letter in ESCAPES) return ESCAPES[letter]
  if (!ESCAPES_READY) {
    ESCAPES_READY = 1
    ESCAPES["n"] = "\n"; ESCAPES["t"] = "\t"; ESCAPES["r"] = "\r"; ESCAPES["a"] = "\a"; ESCAPES["b"] = "\b"
    ESCAPES["f"] = "\f"; ESCAPES["v"] = "\v"; ESCAPES["e"] = "\033"; ESCAPES["0"] = ""
    ESCAPES["N"] = utf8(133); ESCAPES["_"] = utf8(160); ESCAPES["L"] = utf8(8232); ESCAPES["P"] = utf8(8233)
    if (letter in ESCAPES) return ESCAPES[letter]
  }
  return letter
}

function hex(text,    place, number) {
  for (place = 1; place <= length(text); place++)
    number = number * 16 + index("0123456789abcdef", tolower(substr(text, place, 1))) - 1
  return number
}

function utf8(code) {
  if (code == 0) return ""
  if (code < 128) return sprintf("%c", code)
  if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
  if (code < 65536) return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
  return sprintf("%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64, 128 + int(code / 64) % 64, 128 + code % 64)
}

function next_token() {
  while (!BAD) {
    sub(/^[ \t\n]+/, "", BUFFER)
    if (BUFFER == "" || BUFFER ~ /^#/) { BUFFER = ""; more("\n") }
    else return substr(BUFFER, 1, 1)
  }
  return ""
}

function eat() { BUFFER = substr(BUFFER, 2) }

function flow(path,    first) {
  first = next_token()
  if (first == "{") flow_map(path)
  else if (first == "[") flow_list(path)
  else V[path] = flow_scalar(first)
}

function flow_scalar(first,    text) {
  if (first == "\"" || first == "'") return quoted(first)
  if (!match(BUFFER, /^([^][,{}:\n]|:[^ \t\n,\]}])+/)) { BAD = 1; return "" }
  text = substr(BUFFER, 1, RLENGTH)
  BUFFER = substr(BUFFER, RLENGTH + 1)
  return plain(text)
}

function flow_list(path,    index_) {
  eat()
  index_ = 0
  while (!BAD && next_token() != "]") {
    flow(path S index_)
    N[path] = ++index_
    if (next_token() == ",") eat()
    else if (next_token() != "]") BAD = 1
  }
  eat()
}

function flow_map(path,    key) {
  eat()
  while (!BAD && next_token() != "}") {
    key = flow_scalar(next_token())
    if (next_token() == ":") {
      eat()
      if (next_token() !~ /[,}]/) flow(path S key)
    }
    if (next_token() == ",") eat()
    else if (next_token() != "}") BAD = 1
  }
  eat()
}

# ---- printing ------------------------------------------------------------------------------------------------------

function shell(text,    out, at) {
  while (at = index(text, "'")) {
    out = out substr(text, 1, at - 1) "'\\''"
    text = substr(text, at + 1)
  }
  return "'" out text "'"
}

function true(text) { return tolower(text) ~ /^(true|yes|on|1)$/ }

function user_value(key) { return V["user" S key] }

function print_hostname(    name, fqdn) {
  name = user_value("hostname")
  if (name == "") name = V["meta" S "local-hostname"]
  if (name == "") name = V["meta" S "hostname"]
  fqdn = user_value("fqdn")
  gsub(/[^A-Za-z0-9._-]/, "", name)
  gsub(/[^A-Za-z0-9._-]/, "", fqdn)
  if (name == "") { name = fqdn; sub(/\..*/, "", name) }
  if (name != "") print "seed_hostname " shell(name) " " shell(fqdn)
}

function valid_name(name) { return name ~ /^[a-zA-Z_][a-zA-Z0-9_.-]*$/ && length(name) <= 32 }

function print_users(    number, path, name, shell_) {
  print "seed_user root /bin/bash"
  print_keys("root", "user" S "ssh_authorized_keys")
  for (number = 0; number < N["user" S "users"]; number++) {
    path = "user" S "users" S number
    name = V[path S "name"]
    if (!valid_name(name)) continue
    shell_ = V[path S "shell"]
    if (shell_ !~ /^\/bin\/(ba)?sh$/) shell_ = "/bin/bash"
    if (name != "root") print "seed_user " shell(name) " " shell_
    print_keys(name, path S "ssh_authorized_keys")
    print_keys(name, path S "ssh-authorized-keys")
    print_password(name, "hash", V[path S "passwd"])
    print_password(name, "hash", V[path S "hashed_passwd"])
    print_password(name, "text", V[path S "plain_text_passwd"])
  }
}

function print_keys(name, path,    number) {
  if (V[path] != "") print_key(name, V[path])
  for (number = 0; number < N[path]; number++) print_key(name, V[path S number])
}

function print_key(name, key) {
  gsub(/\n/, " ", key)
  if (key != "") print "seed_authorized_key " shell(name) " " shell(trim(key))
}

function print_password(name, kind, secret) {
  if (secret == "" || secret ~ /\n/ || (kind == "hash" && secret ~ /:/)) return
  print "seed_password " shell(name) " " kind " " shell(secret)
}

function print_passwords(    number, path, count, lines, at) {
  print_password("root", user_value("password") ~ /^\$[0-9a-z]+\$/ ? "hash" : "text", user_value("password"))
  path = "user" S "chpasswd" S "users"
  for (number = 0; number < N[path]; number++)
    print_password(V[path S number S "name"], V[path S number S "type"] == "text" ? "text" : "hash", V[path S number S "password"])
  path = "user" S "chpasswd" S "list"
  count = split(V[path], lines, "\n")
  for (number = 0; number < N[path]; number++) lines[++count] = V[path S number]
  for (number = 1; number <= count; number++)
    if (at = index(lines[number], ":"))
      print_password(trim(substr(lines[number], 1, at - 1)), substr(lines[number], at + 1) ~ /^\$[0-9a-z]+\$/ ? "hash" : "text", substr(lines[number], at + 1))
  if (user_value("ssh_pwauth") != "") print "seed_ssh_passwords " (true(user_value("ssh_pwauth")) ? "true" : "false")
}

function print_host_keys(    types, count, number, key) {
  count = split("ed25519 ecdsa rsa", types, " ")
  for (number = 1; number <= count; number++) {
    key = V["user" S "ssh_keys" S types[number] "_private"]
    sub(/\n+$/, "", key)
    if (key != "") print "seed_host_key " types[number] " " shell(key)
  }
}

function print_files(    number, path, mode, kind) {
  for (number = 0; number < N["user" S "write_files"]; number++) {
    path = "user" S "write_files" S number
    if (V[path S "path"] !~ /^\//) continue
    mode = V[path S "permissions"]
    if (mode !~ /^[0-7]+$/) mode = "0644"
    kind = V[path S "encoding"] ~ /^(b64|base64)$/ ? "base64" : "plain"
    print "seed_file " shell(V[path S "path"]) " " mode " " kind " " (true(V[path S "append"]) ? "append" : "write") " " shell(V[path S "content"])
  }
}

function print_runcmd(    number, word, path, script, line) {
  for (number = 0; number < N["user" S "runcmd"]; number++) {
    path = "user" S "runcmd" S number
    line = V[path]
    for (word = 0; word < N[path]; word++) line = line (word ? " " : "") shell(V[path S word])
    script = script line "\n"
  }
  if (script != "") print "seed_runcmd " shell(script)
}
