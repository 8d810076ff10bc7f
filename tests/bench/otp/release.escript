#!/usr/bin/env escript
%% Makes releases 0.1.0 and 0.2.0 with systools, a relup between them both ways,
%% and a target system with 0.1.0 installed, all in the folder that is its argument.

-define(VERSIONS, ["0.1.0", "0.2.0"]).

main([Folder]) ->
    Build = filename:absname(Folder),
    Paths = [Build ++ "/lib/*/ebin"],
    Made = [{V, describe(Build, V)} || V <- ?VERSIONS],
    [ok = systools:make_script(Name, [{path, Paths}, {outdir, filename:dirname(Name)}])
     || {_, Name} <- Made],
    [{_, Old}, {_, New}] = Made,
    Out = {outdir, filename:dirname(New)},
    ok = systools:make_relup(New, [Old], [Old], [{path, Paths}, Out]),
    ok = systools:make_tar(Old, [{path, Paths}, {erts, code:root_dir()}, {outdir, Build}]),
    ok = systools:make_tar(New, [{path, Paths}, {outdir, Build}]),
    install(Build).

%% Writes the .rel and sys.config of a version; gives their path without extension.
describe(Build, Version) ->
    Name = filename:join([Build, "rel", Version, "giving-" ++ Version]),
    ok = filelib:ensure_dir(Name),
    Release = {release, {"giving", Version}, {erts, erlang:system_info(version)},
        [{App, version(App)} || App <- [kernel, stdlib, sasl]] ++
            [{giving, Version}, {measure, "1.0.0"}]},
    ok = file:write_file(Name ++ ".rel", io_lib:format("~p.~n", [Release])),
    Config = filename:join(filename:dirname(Name), "sys.config"),
    ok = file:write_file(Config, "[{kernel, [{logger_level, warning}]}].\n"),
    Name.

version(App) ->
    _ = application:load(App),
    {ok, Version} = application:get_key(App, vsn),
    Version.

install(Build) ->
    Root = filename:join(Build, "target"),
    Releases = filename:join(Root, "releases"),
    ok = filelib:ensure_dir(filename:join(Releases, "any")),
    ok = erl_tar:extract(Build ++ "/giving-0.1.0.tar.gz", [{cwd, Root}, compressed]),
    {ok, _} = file:copy(Build ++ "/giving-0.2.0.tar.gz", Releases ++ "/giving-0.2.0.tar.gz"),
    Data = [erlang:system_info(version), " 0.1.0\n"],
    ok = file:write_file(Releases ++ "/start_erl.data", Data),
    Rel = filename:join([Releases, "0.1.0", "giving-0.1.0.rel"]),
    ok = release_handler:create_RELEASES(Root, Releases, Rel, []).
