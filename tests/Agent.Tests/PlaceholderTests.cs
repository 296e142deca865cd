namespace KataLike.Agent.Tests;
