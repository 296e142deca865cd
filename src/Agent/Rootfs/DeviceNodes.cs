using KataLike.Agent.Containers;
using KataLike.Linux;

namespace KataLike.Agent.Rootfs;

/// <summary>Makes what belongs into a container's /dev (config-linux.md, "Default Devices", "Devices").</summary>
internal sealed class DeviceNodes(RootPlan plan, RootDirectory root)
{
    // Any directory that every guest has, and that the container's mount namespace loses with its old root.
    private const string Staging = "/sys";

    public void Make()
    {
        if (plan.BindNodes && plan.Nodes.Count > 0)
            BindAll();
        else
            foreach (var node in plan.Nodes)
                Make(root, node, node.Path, node.UserId, node.GroupId);
        // Not every kernel has a core file to link to.
        foreach (var (path, target) in plan.Links.Where(link => link.Path != RootPlan.Core || File.Exists(link.Target)))
            root.MakeLink(path, target, replace: path == RootPlan.Ptmx);
        if (plan.Console)
            root.MakeFile("/dev/console", 0x180 /* 0600 */).Dispose();
    }

    private static void Make(RootDirectory at, NodePlan node, string path, uint user, uint group)
    {
        try
        {
            at.MakeNode(path, node.Mode, node.Major, node.Minor, user, group);
        }
        catch (LinuxException e)
        {
            throw Failed(node, e);
        }
    }

    /// <summary>The nodes are made on a tmpfs of the guest, where devices work, and each is bound to its place.</summary>
    private void BindAll()
    {
        using var devices = Mounts.Create("tmpfs", "tmpfs", [new MountOption("mode", "755")]);
        Mounts.Attach(devices, Staging);
        try
        {
            var staged = new RootDirectory(devices);
            for (var index = 0; index < plan.Nodes.Count; index++)
                Bind(staged, plan.Nodes[index], $"/{index}");
        }
        finally
        {
            Mounts.Detach(Staging);
        }
    }

    private void Bind(RootDirectory staged, NodePlan node, string name)
    {
        Make(staged, node, name, plan.Ids?.User(node.UserId) ?? plan.Owner.User, plan.Ids?.Group(node.GroupId) ?? plan.Owner.Group);
        try
        {
            using var source = staged.Open(name, Files.PathOnly);
            using var target = root.MakeFile(node.Path);
            using var tree = Mounts.Clone(source, recursive: false);
            Mounts.Attach(tree, target);
        }
        catch (LinuxException e)
        {
            throw Failed(node, e);
        }
    }

    private static ContainerException Failed(NodePlan node, LinuxException e) =>
        new($"linux.devices: {node.Path}: {e.Message}", e);
}
