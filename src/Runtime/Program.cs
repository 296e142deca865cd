using KataLike.Runtime.Cli;
using KataLike.Runtime.Pools;
using KataLike.Runtime.Sandboxes;
using KataLike.Runtime.Shim;

// One binary: the name it is called by and the first word decide which process this is.
var name = Path.GetFileName(Environment.GetCommandLineArgs()[0]);
if (name.StartsWith("containerd-shim-", StringComparison.Ordinal))
    return await ShimCommand.RunAsync(args);

return args switch
{
    ["sandbox", .. var rest] => await SandboxCommand.RunAsync(rest),
    ["pool-member", .. var rest] => await PoolMember.RunAsync(rest),
    ["stub", .. var rest] => await StubCommand.RunAsync(rest),
    _ => await CommandLine.RunAsync(args),
};
