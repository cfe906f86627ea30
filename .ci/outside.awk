# Of the test files of one package: the tests that match ASKS, or call what does, as a pattern for
# -run. What asks outside of functions, or before all tests, is asked by all of them.
/^func / {
  name = $0
  method = /^func \(/
  sub(/^func (\([^)]*\) )?/, "", name)
  sub(/[^A-Za-z0-9_].*/, "", name)
}
/^func / && method { name = "." name }
name != "" { body[name] = body[name] "\n" $0 }
name == "" && !/^\/\// && $0 ~ asks { all = 1 }
/^}/ || /^func .*}$/ { name = "" }
END {
  for (f in body) if (body[f] ~ asks) found[f]
  do {
    more = 0
    for (f in body) if (!(f in found)) for (g in found)
      if (body[f] ~ (g ~ /^\./ ? "\\" g "\\(" : "[^.A-Za-z0-9_]" g "[(,)]")) { found[f]; more = 1; break }
  } while (more)
  for (f in found) if (f ~ /^(Test|Fuzz|Example)/) pattern = pattern "|^" f "$"
  print (all || "TestMain" in found || "init" in found) ? "." : substr(pattern, 2)
}
